"""The DAGs, and the loopline command that compiles, runs and explains them."""
