"""The features stage: history of feature values, their point-in-time join, the online store and its skew check."""
