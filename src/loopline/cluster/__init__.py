"""Pipelines on a cluster: the objects that Kubernetes holds, starting and watching runs, checking what they need."""
