"""Input and output, below the contract: files, digests, object stores, the Kubernetes API, MLflow's database."""
