"""The predictor behind the transformer: the client, what its model takes, and a predictor on ONNX Runtime."""
