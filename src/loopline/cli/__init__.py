"""The loopline command."""
