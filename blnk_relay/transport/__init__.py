"""Connections to Redis, for the journal and for bells alike."""
