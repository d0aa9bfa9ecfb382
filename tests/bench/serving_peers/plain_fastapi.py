"""Plain FastAPI around ONNX Runtime: python -m ... PACKAGE STORE MODEL PORT WORKERS."""

import os
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from loopline.components.serving.protocol.errors import InferenceError
from tests.bench.serving_peers.lookup import Lookup

ARGUMENTS = "PLAIN_FASTAPI"  # how workers, which uvicorn starts, get them


def create() -> FastAPI:
    """The application, with the arguments from the environment."""
    package, store, model_path = os.environ[ARGUMENTS].split("\n")
    lookup = Lookup(package, store, model_path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    name = lookup.spec.name
    session = onnxruntime.InferenceSession(str(Path(model_path) / "repository" / name / "1" / "model.onnx"), options)
    app = FastAPI()

    @app.post("/v1/models/{model}:predict")
    async def predict(model: str, body: dict[str, Any]) -> dict[str, Any]:
        columns = await lookup.columns(body["instances"])
        feed = lookup.tensors(columns)
        scores = session.run([lookup.signature.output], feed)[0].ravel().tolist()
        return {"predictions": [{lookup.signature.output: score} for score in scores]}

    @app.exception_handler(InferenceError)
    async def error(_: Request, error: InferenceError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, error.status)

    @app.get("/v2/health/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    return app


if __name__ == "__main__":
    os.environ[ARGUMENTS] = "\n".join(sys.argv[1:4])
    uvicorn.run(
        "tests.bench.serving_peers.plain_fastapi:create",
        factory=True,
        host="127.0.0.1",
        port=int(sys.argv[4]),
        workers=int(sys.argv[5]),
        timeout_keep_alive=65,  # as the endpoint
        timeout_worker_healthcheck=600,  # they import Feast for longer than the default of five seconds
        access_log=False,
        log_level="warning",
    )
