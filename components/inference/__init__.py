"""Batch inference: score every entity of a window, and publish the predictions."""
