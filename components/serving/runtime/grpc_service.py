"""The gRPC server: the V2 service of KServe's protobufs."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)

from loopline.components.serving.protocol import v2_grpc
from loopline.components.serving.protocol.errors import InferenceError, not_found
from loopline.components.serving.protocol.request import InferenceRequest
from loopline.components.serving.runtime.handler import Handler


class InferenceService(GRPCInferenceServiceServicer):  # type: ignore[misc] # kserve has no types
    """The methods of the V2 service, without loading and unloading models: those are changed in Git.

    Args:
        handler: handles inference requests.
        is_draining: whether the process is about to shut down.
    """

    def __init__(self, handler: Handler, is_draining: Callable[[], bool]) -> None:
        self._handler = handler
        self._model = handler.model
        self._metadata = handler.model.metadata
        self._is_draining = is_draining

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002, D102
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002, D102
        return pb.ServerReadyResponse(ready=await self._is_ready())

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002, D102
        return pb.ServerMetadataResponse(name="loopline", version=self._metadata.version)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        await self._abort_if_unknown(request.name, request.version, context)
        return pb.ModelReadyResponse(ready=await self._is_ready())

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        await self._abort_if_unknown(request.name, request.version, context)
        return pb.ModelMetadataResponse(**self._metadata.to_v2())

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        started = time.perf_counter()
        outputs: Mapping[str, bool] = {}

        def read() -> InferenceRequest:
            nonlocal outputs
            self._check_model(request.model_name, request.model_version)
            parsed = v2_grpc.read(request, self._metadata)
            outputs = parsed.outputs
            return parsed.request

        try:
            return v2_grpc.write(await self._handler.handle("grpc", read, started), outputs)
        except InferenceError as error:
            return await _abort(context, error)

    async def _is_ready(self) -> bool:
        return not self._is_draining() and await self._model.is_ready()

    def _check_model(self, name: str, version: str) -> None:
        model = self._metadata
        if name != model.name or version not in {"", model.version}:
            raise not_found(
                f"there is no model '{name[:60]}' {version[:60]}: "
                f"this endpoint serves '{model.name}', version {model.version}"
            )

    async def _abort_if_unknown(self, name: str, version: str, context: Any) -> None:
        try:
            self._check_model(name, version)
        except InferenceError as error:
            await _abort(context, error)


def create_server(
    handler: Handler, is_draining: Callable[[], bool], address: str, max_message_bytes: int
) -> grpc.aio.Server:
    """A gRPC server, not started yet.

    Args:
        handler: handles inference requests.
        is_draining: whether the process is about to shut down.
        address: ``host:port`` to listen on.
        max_message_bytes: size limit of a message.

    Raises:
        RuntimeError: the address is in use.
    """
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", max_message_bytes), ("grpc.so_reuseport", 0)])
    add_GRPCInferenceServiceServicer_to_server(InferenceService(handler, is_draining), server)
    server.add_insecure_port(address)
    return server


async def _abort(context: Any, error: InferenceError) -> None:
    await context.abort(v2_grpc.status_code(error), str(error))
