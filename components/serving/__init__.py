"""Real-time inference: questions in, stored features looked up, the model's answer out, and a log of it all."""
