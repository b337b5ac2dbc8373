"""Connections to Redis, for journals and for bells alike."""
