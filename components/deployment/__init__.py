"""The deployment stage: a release that shifts traffic to a new version step by step and decides from evidence."""
