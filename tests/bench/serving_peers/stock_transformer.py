"""KServe's own transformer, as its documentation builds one: python -m ... PACKAGE STORE MODEL PORT PREDICTOR_PORT."""

import logging
import sys
from typing import Any

arguments, sys.argv = sys.argv, sys.argv[:1]  # kserve reads the command line when it is imported

from kserve import InferInput, InferRequest, InferResponse, Model, ModelServer  # noqa: E402
from kserve.context import set_predictor_config  # noqa: E402
from kserve.predictor_config import PredictorConfig  # noqa: E402
from kserve.protocol.rest.server import RESTServer  # noqa: E402

from tests.bench.serving_peers.lookup import Lookup  # noqa: E402


class Transformer(Model):  # type: ignore[misc] # kserve has no types
    """Looks up features and calls the predictor over gRPC: KServe's HTTP client fails on bytes, and JSON has no NaN."""

    def __init__(self, lookup: Lookup) -> None:
        super().__init__(lookup.spec.name)
        self._lookup = lookup
        self.ready = True

    async def preprocess(self, payload: dict[str, Any], headers: Any = None) -> InferRequest:
        columns = await self._lookup.columns(payload["instances"])
        tensors = []
        for name, values in self._lookup.tensors(columns).items():
            tensors.append(InferInput(name, list(values.shape), "BYTES" if name == "categories" else "FP32"))
            tensors[-1].set_data_from_numpy(values)
        return InferRequest(self.name, tensors)

    def postprocess(self, result: InferResponse, headers: Any = None, response_headers: Any = None) -> dict[str, Any]:
        return {"predictions": result.outputs[0].as_numpy().ravel().tolist()}


if __name__ == "__main__":
    package, store, model, port, predictor = arguments[1:]
    transformer = Transformer(Lookup(package, store, model))
    server = ModelServer(http_port=int(port), enable_grpc=False, enable_latency_logging=False)
    server.register_model(transformer)
    # What KServe's server reads from its own command line.
    set_predictor_config(PredictorConfig(predictor_host=f"127.0.0.1:{predictor}", predictor_protocol="grpc-v2"))
    rest = RESTServer("kserve.model_server:app", server.dataplane, server.model_repository_extension, int(port))
    rest.config.host, rest.config.access_log = "127.0.0.1", False
    logging.getLogger("kserve.trace").setLevel(logging.WARNING)  # as quiet as the endpoint is
    rest.run()
