"""Nested pipelines: what several DAGs share."""
