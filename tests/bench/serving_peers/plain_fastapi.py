"""Plain FastAPI around ONNX Runtime, one process: python -m ... PACKAGE STORE MODEL PORT."""

import sys
from pathlib import Path
from typing import Any

import onnxruntime
import uvicorn
from fastapi import FastAPI

from tests.bench.serving_peers.lookup import Lookup


def application(package: str, store: str, model: str) -> FastAPI:
    """The application."""
    lookup = Lookup(package, store, model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    name = lookup.spec.name
    session = onnxruntime.InferenceSession(str(Path(model) / "repository" / name / "1" / "model.onnx"), options)
    app = FastAPI()

    @app.post("/v1/models/{model}:predict")
    async def predict(model: str, body: dict[str, Any]) -> dict[str, Any]:
        columns = await lookup.columns(body["instances"])
        feed = lookup.tensors(columns)
        scores = session.run([lookup.signature.output], feed)[0].ravel().tolist()
        return {"predictions": [{lookup.signature.output: score} for score in scores]}

    @app.get("/v2/health/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    return app


if __name__ == "__main__":
    uvicorn.run(
        application(*sys.argv[1:4]), host="127.0.0.1", port=int(sys.argv[4]), access_log=False, log_level="warning"
    )
