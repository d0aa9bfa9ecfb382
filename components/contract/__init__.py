"""The few things two stages must agree on: use-case spec, artifact formats, errors for people."""
