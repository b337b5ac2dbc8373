"""The JSON API: the same answers and acts, for scripts and for other dashboards, with the same rights."""
