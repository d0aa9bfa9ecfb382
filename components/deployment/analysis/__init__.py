"""Decide from the prediction log whether a canary advances, waits or is rolled back."""
