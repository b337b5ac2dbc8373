"""For those who start Celery by hand: ``celery -A worker.main worker --pool threads``."""

from __future__ import annotations

from blnk_relay.settings import Settings
from worker import logs
from worker.app import make_app

_settings = Settings.from_env()
# First, as any worker does: what Celery itself has to say at its start stands in the log as well.
logs.begin(_settings)

app = make_app(_settings)
