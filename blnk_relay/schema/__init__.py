"""The fields that kinds are validated with."""
