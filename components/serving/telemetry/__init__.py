"""What the service tells about itself: metrics, the prediction log and its own log."""
