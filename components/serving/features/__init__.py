"""Online features: which keys to look up, the online store, and which values may still be used."""
