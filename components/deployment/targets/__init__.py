"""Where a release moves traffic: the local endpoint, a Git repository or a cluster."""
