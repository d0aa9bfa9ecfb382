"""What others would build instead of our transformer, with the same feature lookup."""
