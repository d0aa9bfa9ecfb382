"""The validation stage: how good a model is, whether that is good enough, and whether it beats the one in use."""
