# noqa: INP001 - Triton's folder, no package
"""A Triton backend that runs ONNX graphs through the installed ONNX Runtime, for laptops only.

NVIDIA's wheel of the server has only the Python backend. Triton accepts a folder with a `model.py` as a backend, and
this one has the name of the real one, so a model repository is served unmodified. It is not used on a cluster.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

# Triton's stub runs an isolated Python that ignores PYTHONPATH, so add the installed packages here.
sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402 - by the stub


class TritonPythonModel:
    """One instance of a model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the graph of the version to serve."""
        config = json.loads(args["model_config"])
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = onnxruntime.InferenceSession(str(graph), _options(config.get("parameters", {})))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run the requests that Triton's scheduler batched, as one batch."""
        given = [{tensor.name(): tensor for tensor in request.inputs()} for request in requests]
        tensors = [[_values(named[name]) for name in self.inputs] for named in given]
        rows = [len(columns[0]) for columns in tensors]
        feed = {name: np.concatenate(parts) for name, *parts in zip(self.inputs, *tensors, strict=True)}
        found = self.session.run(self.outputs, feed)
        ends = np.cumsum(rows)[:-1]
        outputs = zip(*(np.split(output, ends) for output in found), strict=True)
        return [
            pb_utils.InferenceResponse(list(map(pb_utils.Tensor, self.outputs, parts)))  # one for each request
            for parts in outputs
        ]


def _values(tensor: Any) -> np.ndarray:
    values = tensor.as_numpy()
    if values.dtype != np.object_:
        return values
    texts = [value.decode(errors="replace") for value in values.reshape(-1)]
    return np.array(texts, dtype=np.object_).reshape(values.shape)


def _options(parameters: dict[str, dict[str, str]]) -> onnxruntime.SessionOptions:
    """Session options, from those parameters of the real backend that apply here."""
    options = onnxruntime.SessionOptions()
    for name in ("intra_op_thread_count", "inter_op_thread_count"):
        if name in parameters:
            setattr(options, name.replace("thread_count", "num_threads"), int(parameters[name]["string_value"]))
    return options
