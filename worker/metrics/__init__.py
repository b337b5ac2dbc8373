"""Metrics for Prometheus, and health over HTTP. A worker serves both where a port is set; so may others."""

from worker.metrics.exposition import Answer, Exposition

__all__ = ["Answer", "Exposition"]
