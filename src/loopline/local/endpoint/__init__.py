"""An endpoint on a laptop: Envoy, and for each version a transformer and a predictor, from a cluster's own files."""
