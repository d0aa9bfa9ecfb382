"""The output tensors of the V2 protocol: the score and, for each row, JSON lists of missing and stale features."""

from typing import Any

import numpy as np
import orjson

from loopline.components.contract.signature import OUTPUT_DATATYPE
from loopline.components.serving.protocol.response import InferenceResponse
from loopline.components.serving.protocol.tensor import BYTES, to_bytes

MISSING, STALE = "missing", "stale"


def datatypes(score: str) -> dict[str, str]:
    """The datatype of each output of a model whose score has this name."""
    return {score: OUTPUT_DATATYPE, MISSING: BYTES, STALE: BYTES}


def datatype(response: InferenceResponse, name: str) -> str:
    """The datatype of an output."""
    return datatypes(response.output)[name]


def values(response: InferenceResponse, name: str) -> list[Any]:
    """An output as a list."""
    if name == response.output:
        return list(response.scores)
    return [orjson.dumps(list(names)).decode() for names in (response.missing if name == MISSING else response.stale)]


def raw(response: InferenceResponse, name: str) -> bytes:
    """An output as bytes."""
    if name == response.output:
        return np.asarray(response.scores, "<f4").tobytes()
    return to_bytes(values(response, name))
