"""The InferenceService and its parts, as pure functions from object to object."""
