"""The V2 protocol: tensors in JSON and as bytes, in both directions; fuzzed, nothing but an answer or a refusal."""

import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_case import Served, instance, tensors

from loopline.components.contract import usecase
from loopline.components.serving.protocol import v2
from loopline.components.serving.protocol.errors import InferenceError
from loopline.components.serving.protocol.fields import Field, request_fields
from loopline.components.serving.protocol.response import InferenceResponse
from loopline.components.serving.protocol.tensor import FIELD_DATATYPES, from_bytes, to_bytes


@pytest.fixture(scope="module")
def known(served: Served) -> dict[str, Field]:
    return request_fields(usecase.load(served.package).spec, ["line", "driver"])


def read(known: dict[str, Field], body: Any, rest: bytes = b"", length: str | None = None) -> v2.V2Request:
    text = body if isinstance(body, bytes) else orjson.dumps(body)
    if rest and length is None:
        length = str(len(text))
    return v2.read(text + rest, length, known, "probability", "from the header")


def as_bytes(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bytes]:
    """The same tensors with their content behind the JSON."""
    described, rest = [], b""
    codes = {"INT64": "<i8", "FP64": "<f8"}
    for tensor in tensors(rows):
        data = tensor.pop("data")
        kind = tensor["datatype"]
        raw = to_bytes(data) if kind == "BYTES" else np.array(data, codes[kind]).tobytes()
        described.append(tensor | {"parameters": {"binary_data_size": len(raw)}})
        rest += raw
    return described, rest


def test_json_and_bytes_are_the_same_request(known: dict[str, Field]) -> None:
    rows = [instance(), instance("Straße", trip=2**60)]
    plain = read(known, {"inputs": tensors(rows)}).request
    described, rest = as_bytes(rows)
    binary = read(known, {"inputs": described}, rest).request
    assert plain.columns == binary.columns
    assert plain.rows == 2
    assert plain.columns["line"] == ["M1", "Straße"]
    assert plain.columns["trip"] == [7, 2**60]


def test_flat_and_nested_data_are_the_same(known: dict[str, Field]) -> None:
    nested = [tensor | {"data": [[value] for value in tensor["data"]]} for tensor in tensors([instance()])]
    flat = [tensor | {"shape": [1]} for tensor in tensors([instance()])]
    assert read(known, {"inputs": nested}).request.columns == read(known, {"inputs": flat}).request.columns


def test_nan_comes_as_bytes_and_is_missing(known: dict[str, Field]) -> None:
    described, rest = as_bytes([instance(signal=float("nan"))])
    assert read(known, {"inputs": described}, rest).request.columns["signal"] == [None]
    described, rest = as_bytes([instance(signal=float("inf"))])
    with pytest.raises(InferenceError, match="row 0: 'signal' is inf"):
        read(known, {"inputs": described}, rest)


def test_the_id_is_the_bodys_or_the_headers(known: dict[str, Field]) -> None:
    assert read(known, {"id": "own", "inputs": tensors([instance()])}).request.id == "own"
    assert read(known, {"inputs": tensors([instance()])}).request.id == "from the header"


def changed(name: str, /, **changes: Any) -> dict[str, Any]:
    return {
        "inputs": [
            {key: value for key, value in (tensor | changes).items() if value is not ...}
            if tensor["name"] == name
            else tensor
            for tensor in tensors([instance()])
        ]
    }


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "is not valid JSON"),
        (b"[]", "has to be"),
        ({"inputs": []}, "the request has no inputs"),
        ({"inputs": [1]}, "each input has to be an object"),
        ({"inputs": [{"name": 1}]}, "each input has to be an object"),
        ({"id": 5, **changed("trip")}, "the id of the request has to be a string"),
        (changed("trip", name="tripp"), "did you mean 'trip'"),
        (changed("trip", name="line"), "there are two inputs 'line'"),
        ({"inputs": tensors([instance()])[1:]}, "'line' is missing"),
        (changed("trip", shape=...), "its shape has to be a list of integers"),
        (changed("trip", shape=["1"]), "its shape has to be a list of integers"),
        (changed("trip", shape=[1, 2]), "has to be [rows] or [rows, 1]"),
        (changed("trip", shape=[]), "has to be [rows] or [rows, 1]"),
        (changed("trip", shape=[-1]), "has to be [rows] or [rows, 1]"),
        (changed("trip", shape=[2]), "'trip' has 2 rows, but 'line' has 1"),
        (changed("trip", data=[1, 2]), "'trip' has 2 values, but its shape says 1"),
        (changed("trip", data="7"), "its data has to be a list"),
        (changed("trip", data=["7"]), "row 0: 'trip' is '7', but has to be a 64-bit integer"),
        (changed("trip", datatype="FP32"), "'trip' has datatype FP32, but has to be INT8 or"),
        (changed("trip", datatype=["INT64"]), "its datatype has to be a string"),
        (changed("trip", datatype="STRING"), "has datatype STRING"),
        (changed("trip", data=...), "has neither data nor a binary_data_size"),
        (changed("trip", data=..., parameters={"binary_data_size": -1}), "has neither data nor"),
        (changed("trip", data=..., parameters={"binary_data_size": 8}), "has 8 bytes of binary data, but 0 are left"),
        ({**changed("trip"), "outputs": [{"name": "score"}]}, "there is no output 'score'"),
        ({**changed("trip"), "outputs": ["probability"]}, "outputs has to be a list of objects"),
    ],
)
def test_an_invalid_body_names_what_is_wrong(known: dict[str, Field], body: Any, says: str) -> None:
    with pytest.raises(InferenceError) as refused:
        read(known, body)
    assert says in str(refused.value)
    assert refused.value.status == 400


def test_too_many_rows_are_rejected_before_they_are_read(known: dict[str, Field]) -> None:
    with pytest.raises(InferenceError, match="has 10,000 rows") as refused:
        read(known, {"inputs": [tensor | {"shape": [10_000, 1]} for tensor in tensors([instance()])]})
    assert refused.value.status == 413


@pytest.mark.parametrize("length", ["-1", "x", "99999", "²", "1e3"])
def test_a_wrong_length_of_the_json_is_rejected(known: dict[str, Field], length: str) -> None:
    with pytest.raises(InferenceError, match="Inference-Header-Content-Length"):
        read(known, {"inputs": tensors([instance()])}, b"rest", length)


def test_bytes_that_belong_to_no_input_are_rejected(known: dict[str, Field]) -> None:
    with pytest.raises(InferenceError, match="4 bytes after the JSON belong to no input"):
        read(known, {"inputs": tensors([instance()])}, b"rest")


@pytest.mark.parametrize(
    ("datatype", "raw", "rows", "says"),
    [
        ("BYTES", b"\x05\x00\x00\x00abc", 1, "ends in the middle of a string"),
        ("BYTES", b"\x05\x00", 1, "ends in the middle of a string"),
        ("BYTES", b"\xff\xff\xff\xff", 1, "ends in the middle of a string"),
        ("BYTES", struct.pack("<I", 1) + b"\xff", 1, "not valid UTF-8"),
        ("FP32", b"\x00\x00", 1, "has 2 bytes, but its datatype and shape need 4"),
        ("BF16", b"\x00\x00", 1, "not supported"),
    ],
)
def test_invalid_bytes_are_rejected(datatype: str, raw: bytes, rows: int, says: str) -> None:
    with pytest.raises(InferenceError, match=says):
        from_bytes("x", datatype, raw, rows)


@given(st.lists(st.text(), max_size=20))
def test_strings_survive_the_binary_form(texts: list[str]) -> None:
    assert from_bytes("x", "BYTES", to_bytes(texts), len(texts)) == texts


ANSWER = InferenceResponse("id", "trams", "3", "probability", [0.25, 0.5], [["delay"], []], [[], ["mood"]], ["a", "b"])


def test_a_response_is_written_as_json_and_as_bytes() -> None:
    plain, length = v2.write(ANSWER, {"probability": False, "missing": False, "stale": False})
    assert length is None
    content = orjson.loads(plain)
    assert content["model_version"] == "3"
    assert [output["data"] for output in content["outputs"]] == [[0.25, 0.5], ['["delay"]', "[]"], ["[]", '["mood"]']]
    body, length = v2.write(ANSWER, {"missing": True, "probability": True})
    assert length is not None
    first, second = orjson.loads(body[:length])["outputs"]
    size = first["parameters"]["binary_data_size"]
    assert from_bytes("missing", "BYTES", body[length : length + size], 2) == ['["delay"]', "[]"]
    assert from_bytes("probability", "FP32", body[length + size :], 2) == [0.25, 0.5]
    assert second["shape"] == [2, 1]


def test_the_requested_outputs_are_returned(known: dict[str, Field]) -> None:
    body = {"inputs": tensors([instance()]), "parameters": {"binary_data_output": True}}
    assert read(known, body).outputs == {"probability": True, "missing": True, "stale": True}
    body["outputs"] = [{"name": "probability", "parameters": {"binary_data": False}}]
    assert read(known, body).outputs == {"probability": False}


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["line", "trip", "departs_at", "signal", "stop", "driver", "x"]) | JSON,
        "datatype": st.sampled_from([name for names in FIELD_DATATYPES.values() for name in names]) | JSON,
        "shape": st.lists(st.integers(-2, 2000), max_size=3) | JSON,
        "data": st.lists(SCALARS, max_size=3) | JSON,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-5, 50) | JSON}) | JSON,
    },
)
BODY = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "inputs": st.lists(TENSOR, max_size=4) | JSON,
        "outputs": st.lists(st.fixed_dictionaries({}, optional={"name": JSON, "parameters": JSON})) | JSON,
        "parameters": JSON,
    },
)


@given(BODY, st.binary(max_size=40), st.none() | st.text(max_size=6) | st.integers(0, 200).map(str))
def test_any_body_is_parsed_or_rejected(known: dict[str, Field], body: Any, rest: bytes, length: str | None) -> None:
    refusable(known, orjson.dumps(body) + rest, length)


@given(st.data())
def test_a_broken_request_is_parsed_or_rejected(known: dict[str, Field], data: st.DataObject) -> None:
    described, rest = as_bytes([instance()])
    for tensor in described:
        if data.draw(st.integers(0, 3)) == 0:
            tensor |= data.draw(TENSOR)  # noqa: PLW2901
    text = orjson.dumps({"inputs": described})
    cut = data.draw(st.integers(0, len(rest)))
    refusable(known, text + rest[:cut], str(len(text)))


def refusable(known: dict[str, Field], body: bytes, length: str | None) -> None:
    status = 200
    try:
        v2.read(body, length, known, "probability", None)
    except InferenceError as refused:
        status = refused.status
    assert status in {200, 400, 413}
