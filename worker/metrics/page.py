"""The page of all metrics: ``python -m worker.metrics.page``."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from worker.metrics.families import MOST_CODES
from worker.metrics.meter import LIFE_S, REQUEST_S
from worker.metrics.names import NAMES, Name
from worker.metrics.readings import FRESH_S, PATIENCE_S

_HEAD = f"""# Metrics

A worker answers `/metrics`, `/healthz` and `/readyz` over HTTP where `BLNK_RELAY_METRICS_PORT` is set (or
`blnk-relay worker --metrics-port 9464`), on 127.0.0.1 unless `BLNK_RELAY_METRICS_ADDRESS` says otherwise. Each worker
of a machine needs a port of its own; one whose port is taken works all the same, says so, and tries again. There is no
password: let only Prometheus and the supervisor reach it. No key, no reference, no amount and no name of a person or a
balance is in it.

| path | 200 | 503 |
| --- | --- | --- |
| `/metrics` | of a journal that is away it says only that `blnk_relay_journal_up` is 0 | more than 8 ask at once |
| `/healthz` | the process is well, or has nothing to do | it makes no progress, and is to be started anew |
| `/readyz` | it takes work | it is quiet or stopping, or journals did not answer when they were last swept |

Both ask nobody, and their body says why. What `/healthz` says, `blnk-relay health` says of the workers of a host; a
worker that stays unwell ends by itself (`BLNK_RELAY_STALLED_S`).

**Facts of a journal** are read from Redis when somebody asks, once for all who ask within {FRESH_S:g} s, and as
fast from a long backlog as from none. Every process that is asked says the same, so take `max by (target, …)` of them,
never a sum over processes: `sum(max by (target) (blnk_relay_backlog))`. A Redis that does not answer holds up an answer
by {PATIENCE_S:g} s at most.

No counter goes back while a process lives: where Redis has lost its last moments, what was told of them is told on, and
a process that begins tells what the journal has. So take rates of each series, and the maximum of these:
`max by (target) (rate(blnk_relay_done_total[5m]))`. One that begins again at the same address after such a loss has
lower ones, and `rate` takes their whole value for new, once.

**Facts of a process** are what it has measured since it began, all processes of a prefork pool together. Sum them:
`histogram_quantile(0.95, sum by (le) (rate(blnk_relay_accept_to_confirmed_seconds_bucket[5m])))`. Times are by the
journal's clock.

Labels are bounded: `target` by the settings, `kind`, `outcome` and `class` by what there is, `lane`, `code` and
`resource` to the first {MOST_CODES} words that a process meets; whatever is beyond is `other`. Of the states of
intents only `due` and `later` are counted by lane; the others have an empty `lane`.
"""

_TAIL = """## To scale by

`blnk_relay_backlog` is what is due or in the hands of workers. What is scheduled for later, or waits for others, is not
in it, because no worker could do anything about it. It is a fact of the journal: one number a target, whoever says it.

KEDA asks Prometheus for it; here for one worker for each thousand intents:

```yaml
triggers:
  - type: prometheus
    metadata:
      serverAddress: http://prometheus:9090
      query: sum(max by (target) (blnk_relay_backlog))
      threshold: "1000"
```

A HorizontalPodAutoscaler gets it from the Prometheus adapter as an external metric under the same query, with a target
of `type: AverageValue`. Workers that serve some lanes only scale by `blnk_relay_intents{state="due", lane="refunds"}`.
Keep a minimum of two workers; and a maximum, for a ledger that is paused, slowed or away is not helped by more of them,
while the backlog grows.

## Alerts and a dashboard

[alerts.yaml](monitoring/alerts.yaml) has rules for Prometheus, [dashboard.json](monitoring/dashboard.json) a dashboard
for Grafana, [prometheus.yaml](monitoring/prometheus.yaml) a configuration. All of it runs with
`docker compose -f docker/compose.yaml --profile monitoring up`.
"""


def described() -> str:
    """All metrics as Markdown; ``docs/metrics.md`` is its output."""
    journal = [name for name in NAMES if name.of == "journal"]
    process = [name for name in NAMES if name.of == "process"]
    return "\n".join(
        [
            _HEAD,
            "## Facts of a journal",
            "",
            *_table(journal),
            "",
            "## Facts of a process",
            "",
            *_table(process),
            "",
            f"Bounds of buckets in seconds: of intents {_listed(LIFE_S)};",
            f"of requests {_listed(REQUEST_S)}. Besides, there is what Prometheus's own",
            "library says of the process that is asked: `process_resident_memory_bytes`, `process_cpu_seconds_total` …",
            "",
            _TAIL,
        ]
    )


def _table(names: Iterable[Name]) -> list[str]:
    lines = ["| metric | type | labels | what it says |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{name.full}` | {name.sort} | {', '.join(f'`{label}`' for label in name.labels)} | {name.help} |"
        for name in names
    ]
    return lines


def _listed(bounds: Iterable[float]) -> str:
    return ", ".join(f"{bound:g}" for bound in bounds)


if __name__ == "__main__":
    sys.stdout.write(described())
