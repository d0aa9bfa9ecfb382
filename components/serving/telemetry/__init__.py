"""What the service reports: metrics, the prediction log and its own log."""
