"""A predictor on KServe's server and ONNX Runtime: for machines without Triton, and for small models on a CPU.

Like Triton, it serves the highest version in a packaged model's repository, by the V2 protocol over HTTP.
"""

import argparse
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.errors import InvalidInput
from kserve.model_server import app
from kserve.protocol.rest.server import RESTServer

from loopline.components.contract.signature import COLUMNS
from loopline.components.errors import LooplineError
from loopline.components.serving.telemetry import structured_log

_DATATYPES = {"tensor(float)": "FP32", "tensor(string)": "BYTES", "tensor(int64)": "INT64", "tensor(double)": "FP64"}


class OnnxModel(Model):  # type: ignore[misc] # kserve has no types
    """A model of a repository.

    Args:
        name: of the model.
        repository: the folder that contains a folder with this name.

    Raises:
        LooplineError: there is no such model, or ONNX Runtime cannot load it.
    """

    def __init__(self, name: str, repository: Path) -> None:
        super().__init__(name)
        file = latest_version(repository / name) / "model.onnx"
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1  # requests run in parallel, and each has few rows
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises undocumented classes of its own
            raise LooplineError(f"{file} cannot be loaded: {error}") from error
        self._columns = self._session.get_modelmeta().custom_metadata_map.get(COLUMNS)
        self._types = {tensor.name: _DATATYPES[tensor.type] for tensor in self._session.get_inputs()}
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        """The inputs, as in the V2 protocol's model metadata."""
        return _metadata(self._session.get_inputs())

    def get_output_types(self) -> list[dict[str, Any]]:
        """The outputs, as in the V2 protocol's model metadata."""
        return _metadata(self._session.get_outputs())

    def configuration(self) -> dict[str, Any]:
        """The features in each tensor, in the same place as in Triton's model configuration."""
        parameters = {COLUMNS: {"string_value": self._columns}} if self._columns else {}
        return {"name": self.name, "parameters": parameters}

    async def predict(self, payload: InferRequest, headers: Mapping[str, str] | None = None) -> InferResponse:  # noqa: ARG002
        """Run the model.

        Raises:
            InvalidInput: an input is missing, or has another datatype or shape.
        """
        feed = {tensor.name: self._tensor(tensor) for tensor in payload.inputs}
        if missing := self._types.keys() - feed.keys():
            raise InvalidInput(f"inputs are missing: {', '.join(sorted(missing))}")
        binary = {output.name: output.binary_data for output in payload.request_outputs or []}
        names = [output.name for output in self._session.get_outputs()]
        try:
            results = self._session.run(names, feed)
        except Exception as error:  # as above
            raise InvalidInput(f"the model failed on these inputs: {error}") from error
        outputs = []
        for tensor, result in zip(self._session.get_outputs(), results, strict=True):
            output = InferOutput(tensor.name, list(result.shape), _DATATYPES[tensor.type])
            output.set_data_from_numpy(result, binary_data=bool(binary.get(tensor.name)))
            outputs.append(output)
        return InferResponse(payload.id or uuid.uuid4().hex, self.name, outputs)

    def _tensor(self, given: Any) -> npt.NDArray[Any]:
        if given.name not in self._types or given.datatype != self._types[given.name]:
            raise InvalidInput(f"the model has no input '{given.name}' of datatype {given.datatype}")
        values = given.as_numpy()
        if given.datatype != "BYTES":
            return np.asarray(values)
        texts = [value.decode() if isinstance(value, bytes) else value for value in values.ravel()]
        return np.array(texts, dtype=object).reshape(values.shape)


class OnnxServer(ModelServer):  # type: ignore[misc] # kserve has no types
    """KServe's server with a configurable address; by default it listens on all of them.

    Args:
        host: address to listen on. ``port``: TCP port.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(http_port=port, enable_grpc=False, enable_latency_logging=False)
        self._host = host

    def start(self, models: Sequence[OnnxModel]) -> None:
        """Serve models until SIGTERM."""
        for model in models:
            self.register_model(model)
        server = RESTServer("kserve.model_server:app", self.dataplane, self.model_repository_extension, self.http_port)
        server.config.host = self._host
        server.config.access_log = False
        for model in models:
            app.add_api_route(f"/v2/models/{model.name}/config", model.configuration)
        server.run()


def latest_version(folder: Path) -> Path:
    """The folder of a model's highest version.

    Raises:
        LooplineError: there is none.
    """
    versions = [path for path in folder.glob("*") if path.name.isdecimal() and (path / "model.onnx").is_file()]
    if not versions:
        raise LooplineError(f"{folder} has no <version>/model.onnx, so there is no model to serve")
    return max(versions, key=lambda path: int(path.name))


def only_model(repository: Path) -> str:
    """The name of the one model of a repository.

    Raises:
        LooplineError: it has none, or several.
    """
    names = sorted(folder.name for folder in repository.iterdir() if folder.is_dir())
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise LooplineError(f"{repository} has to hold one model and holds {found}; name one with --model_name")
    return names[0]


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m loopline.components.serving.predictor.onnx_server", description=__doc__
    )
    parser.add_argument("--model_name", help="a folder of the repository; the only one if left out")
    parser.add_argument("--model_dir", type=Path, required=True, help="the model repository")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 in a pod")
    parser.add_argument("--http_port", type=int, default=8080)
    options = parser.parse_args()
    try:
        model = OnnxModel(options.model_name or only_model(options.model_dir), options.model_dir)
    except LooplineError as error:
        raise SystemExit(str(error)) from None
    structured_log.configure()
    OnnxServer(options.host, options.http_port).start([model])


def _metadata(tensors: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": tensor.name,
            "datatype": _DATATYPES[tensor.type],
            "shape": [size if isinstance(size, int) else -1 for size in tensor.shape],
        }
        for tensor in tensors
    ]


if __name__ == "__main__":
    main()
