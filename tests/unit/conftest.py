"""How the properties are tried: without a clock, as a busy machine is no failure, and saying how to repeat one."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unit", deadline=None, print_blob=True)
settings.load_profile("unit")
