"""Envoy in front of the versions of a local endpoint: its configuration, its admin interface, its process."""
