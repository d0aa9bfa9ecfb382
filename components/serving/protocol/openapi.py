"""The OpenAPI document of the service."""

from collections.abc import Mapping
from typing import Any

from loopline.components.serving.protocol import v2_outputs
from loopline.components.serving.protocol.fields import INT64, MAX_FLOAT32, Field
from loopline.components.serving.protocol.metadata import ModelMetadata
from loopline.components.serving.protocol.request import MAX_ID, MAX_ROWS
from loopline.components.serving.protocol.tensor import FIELD_DATATYPES

_JSON_TYPES = {
    "string": "string",
    "timestamp": "string",
    "integer": "integer",
    "float": "number",
    "boolean": "boolean",
}
_ERRORS = {
    "400": "The body is not valid JSON, or a value is missing or wrong; the message names it",
    "408": "The body stopped arriving",
    "413": "Too many bytes or rows",
    "415": "The media type is not JSON, or the body is compressed",
    "502": "The predictor responded with an error",
    "503": "The predictor is unavailable, or there are too many requests; retry after Retry-After seconds",
    "504": "The predictor did not respond in time",
}


def document(model: ModelMetadata) -> dict[str, Any]:
    """The OpenAPI document of the service."""
    name, version = model.name, model.version
    v1 = _post("Score rows (V1)", _instances(model.fields), _predictions(model.output))
    tensors = _post("Score tensors (V2)", _tensors(model.fields, model.output), _outputs(model.output))
    ready = _get("Whether the model is ready", {"200": {}, "503": {}})
    metadata = _get("Inputs and outputs of the model")
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": version, "description": model.description},
        "paths": {
            f"/v1/models/{name}:predict": {"post": v1},
            f"/v2/models/{name}/infer": {"post": tensors},
            f"/v2/models/{name}/versions/{version}/infer": {"post": tensors},
            "/v1/models": {"get": _get("The model")},
            f"/v1/models/{name}": {"get": ready},
            "/v2": {"get": _get("The server")},
            "/v2/models": {"get": _get("The model")},
            f"/v2/models/{name}": {"get": metadata},
            f"/v2/models/{name}/ready": {"get": ready},
            f"/v2/models/{name}/versions/{version}": {"get": metadata},
            f"/v2/models/{name}/versions/{version}/ready": {"get": ready},
            "/v2/health/live": {"get": _get("Whether the process runs")},
            "/v2/health/ready": {"get": ready},
        },
    }


def _get(summary: str, statuses: Mapping[str, Any] | None = None) -> dict[str, Any]:
    responses = {status: _response(summary, {"type": "object"}) for status in statuses or ("200",)}
    return {"summary": summary, "responses": responses}


def _post(summary: str, body: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    error = _object({"error": {"type": "string"}, "kind": {"type": "string"}})
    return {
        "summary": summary,
        "parameters": [
            {
                "name": "x-request-id",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "maxLength": MAX_ID},
                "description": "The id of the request, repeated in the response and in the prediction log",
            }
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": _response("The scores", response),
            **{status: _response(why, error) for status, why in _ERRORS.items()},
        },
    }


def _response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _object(properties: Mapping[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object with these properties and no others."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": False,
    }


def _instances(fields: Mapping[str, Field]) -> dict[str, Any]:
    optional = tuple(name for name, field in fields.items() if not field.required)
    row = _object({name: _value(field) for name, field in fields.items()}, optional)
    return _object({"instances": {"type": "array", "items": row, "minItems": 1, "maxItems": MAX_ROWS}})


def _value(field: Field) -> dict[str, Any]:
    """The schema of a field's value."""
    kind = _JSON_TYPES[field.type]
    schema: dict[str, Any] = {"type": kind if field.required else [kind, "null"]}
    if field.type == "timestamp":
        schema |= {
            "format": "date-time",
            "description": "Between 1900 and 2199; without an offset, in the time zone of the use case",
        }
    if kind in {"integer", "number"}:
        minimum, maximum = INT64 if kind == "integer" else (-MAX_FLOAT32, MAX_FLOAT32)
        schema["minimum"] = field.minimum if field.minimum is not None else minimum
        schema["maximum"] = field.maximum if field.maximum is not None else maximum
    return schema


def _predictions(output: str) -> dict[str, Any]:
    names = {"type": "array", "items": {"type": "string"}}
    row = _object({output: {"type": "number"}, "missing": names, "stale": names})
    return _object(
        {
            "predictions": {"type": "array", "items": row},
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
        }
    )


def _tensors(fields: Mapping[str, Field], output: str) -> dict[str, Any]:
    tensor = {
        "type": "object",
        "properties": {
            "name": {"enum": list(fields)},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0, "maximum": MAX_ROWS},
                "minItems": 1,
                "maxItems": 2,
            },
            "datatype": {
                "enum": sorted({datatype for field in fields.values() for datatype in FIELD_DATATYPES[field.type]})
            },
            "data": {"type": "array"},
            "parameters": {"description": "binary_data_size, if the content follows the JSON"},
        },
        "required": ["name", "shape", "datatype"],
        "description": "One for each field: as many values as the shape says, or binary_data_size bytes after the JSON",
    }
    requested = {"name": {"enum": list(v2_outputs.datatypes(output))}, "parameters": {"description": "binary_data"}}
    return {
        "type": "object",
        "properties": {
            "id": {"type": ["string", "null"], "maxLength": MAX_ID},
            "inputs": {"type": "array", "items": tensor, "minItems": 1},
            "outputs": {
                "type": ["array", "null"],
                "items": {"type": "object", "properties": requested, "required": ["name"]},
            },
            "parameters": {"description": "binary_data_output"},
        },
        "required": ["inputs"],
    }


def _outputs(output: str) -> dict[str, Any]:
    tensor = {
        "name": {"enum": list(v2_outputs.datatypes(output))},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string"},
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    }
    return _object(
        {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": _object(tensor, ("data", "parameters"))},
        }
    )
