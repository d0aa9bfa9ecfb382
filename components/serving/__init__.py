"""Real-time inference: a request comes in, stored features are looked up, the model scores it, and a log is kept."""
