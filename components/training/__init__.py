"""The training stage: examples in, a packaged model out."""
