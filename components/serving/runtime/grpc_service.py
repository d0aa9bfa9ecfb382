"""The gRPC side: KServe's own protobufs of the V2 protocol, answered like HTTP."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)

from loopline.components.serving.protocol import openapi, v2
from loopline.components.serving.protocol.errors import RefusedError, invalid, unknown
from loopline.components.serving.protocol.request import Question
from loopline.components.serving.protocol.response import Answer
from loopline.components.serving.protocol.tensor import BYTES, Tensor
from loopline.components.serving.runtime.handler import Handler
from loopline.components.serving.runtime.served_model import ServedModel

_CODES = {
    HTTPStatus.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: grpc.StatusCode.OUT_OF_RANGE,
    HTTPStatus.BAD_GATEWAY: grpc.StatusCode.INTERNAL,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
}
# Where protobuf keeps the values of a tensor that does not come as bytes.
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


class InferenceService(GRPCInferenceServiceServicer):  # type: ignore[misc] # kserve has no types
    """The methods of the V2 protocol. Loading and unloading of models are none of them: that is done in Git.

    Args:
        handler: what answers questions.
        is_draining: whether the process is about to end.
    """

    def __init__(self, handler: Handler, is_draining: Callable[[], bool]) -> None:
        self._handler = handler
        self._model = handler.model
        self._is_draining = is_draining

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002, D102
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002, D102
        return pb.ServerReadyResponse(ready=await self._is_ready())

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002, D102
        return pb.ServerMetadataResponse(name="loopline", version=self._model.version)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        await self._abort_if_unknown(request.name, request.version, context)
        return pb.ModelReadyResponse(ready=await self._is_ready())

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        await self._abort_if_unknown(request.name, request.version, context)
        return pb.ModelMetadataResponse(**openapi.metadata(self._model))

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        started = time.perf_counter()
        binary: dict[str, bool] = {}

        def read() -> Question:
            nonlocal binary
            self._expect_model(request.model_name, request.model_version)
            question, binary = _read(request, self._model)
            return question

        try:
            return _write(await self._handler.handle("grpc", read, started), binary)
        except RefusedError as refusal:
            return await _abort(context, refusal)

    async def _is_ready(self) -> bool:
        return not self._is_draining() and await self._model.is_ready()

    def _expect_model(self, name: str, version: str) -> None:
        if name != self._model.name or version not in {"", self._model.version}:
            raise unknown(
                f"there is no model '{name[:60]}' {version[:60]}: "
                f"served is '{self._model.name}', version {self._model.version}"
            )

    async def _abort_if_unknown(self, name: str, version: str, context: Any) -> None:
        try:
            self._expect_model(name, version)
        except RefusedError as refusal:
            await _abort(context, refusal)


def create_server(handler: Handler, is_draining: Callable[[], bool], address: str, most_bytes: int) -> grpc.aio.Server:
    """A gRPC server, yet to be started.

    Args:
        handler: what answers questions.
        is_draining: whether the process is about to end.
        address: ``host:port`` to listen at.
        most_bytes: of a message.

    Raises:
        RuntimeError: the address is taken.
    """
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", most_bytes), ("grpc.so_reuseport", 0)])
    add_GRPCInferenceServiceServicer_to_server(InferenceService(handler, is_draining), server)
    server.add_insecure_port(address)
    return server


def _read(request: Any, model: ServedModel) -> tuple[Question, dict[str, bool]]:
    """The question, and which outputs are wanted as bytes: all of them if the inputs came as bytes."""
    as_bytes = len(request.raw_input_contents) > 0
    if as_bytes and len(request.raw_input_contents) != len(request.inputs):
        raise invalid(f"there are {len(request.inputs)} inputs and {len(request.raw_input_contents)} raw contents")
    tensors = [
        _tensor(given, request.raw_input_contents[place] if as_bytes else None)
        for place, given in enumerate(request.inputs)
    ]
    known = v2.outputs(model.output)
    wanted = [output.name for output in request.outputs] or list(known)
    for name in wanted:
        if name not in known:
            raise invalid(f"there is no output '{name[:60]}'; there are {', '.join(known)}")
    return v2.question(tensors, model.fields, request.id), dict.fromkeys(wanted, as_bytes)


def _tensor(given: Any, raw: bytes | None) -> Tensor:
    if raw is not None:
        return Tensor(given.name, given.datatype, list(given.shape), raw=raw)
    if given.datatype not in _CONTENTS:
        raise invalid(f"'{given.name[:60]}' has datatype '{given.datatype[:20]}', which only comes as raw contents")
    values = list(getattr(given.contents, _CONTENTS[given.datatype]))
    return Tensor(given.name, given.datatype, list(given.shape), values)


def _write(answer: Answer, binary: dict[str, bool]) -> Any:
    response = pb.ModelInferResponse(model_name=answer.model, model_version=answer.version, id=answer.id)
    for name, as_bytes in binary.items():
        datatype = v2.datatype(answer, name)
        output = response.outputs.add(name=name, datatype=datatype, shape=[len(answer.scores), 1])
        if as_bytes:
            response.raw_output_contents.append(v2.raw(answer, name))
        elif datatype == BYTES:
            output.contents.bytes_contents.extend(value.encode() for value in v2.values(answer, name))
        else:
            output.contents.fp32_contents.extend(v2.values(answer, name))
    return response


async def _abort(context: Any, refusal: RefusedError) -> None:
    await context.abort(_CODES.get(refusal.status, grpc.StatusCode.INTERNAL), str(refusal))
