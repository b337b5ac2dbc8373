"""Journals: of each target the durable record of every intent on Redis, and the only truth about it."""
