"""Batch inference: scores for every entity of a window, and their publication in place of the former ones."""
