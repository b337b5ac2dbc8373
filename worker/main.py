"""For those who start Celery by hand: ``celery -A worker.main worker --pool threads``."""

from __future__ import annotations

from blnk_relay.settings import Settings
from worker.app import make_app

app = make_app(Settings.from_env())
