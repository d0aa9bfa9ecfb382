"""The V1 protocol: ``{"instances": [{...}, ...]}`` in, ``{"predictions": [{...}, ...]}`` out."""

from collections.abc import Mapping
from typing import Any

import orjson

from loopline.components.serving.protocol.errors import invalid, malformed
from loopline.components.serving.protocol.fields import Field
from loopline.components.serving.protocol.request import InferenceRequest, check_row_count, unknown_field, validate
from loopline.components.serving.protocol.response import InferenceResponse


def read(body: bytes, fields: Mapping[str, Field], request_id: str | None) -> InferenceRequest:
    """The request in the body of a V1 request.

    Raises:
        InferenceError: the body has another form, or a value is missing or wrong.
    """
    content = parse_json(body)
    if not isinstance(content, dict) or not isinstance(content.get("instances"), list):
        raise invalid('the body has to be {"instances": [{...}, ...]}')
    if len(content) > 1:
        extra = next(name for name in content if name != "instances")
        raise invalid(f'the body has a key {extra[:60]!r} besides "instances"; remove it')
    instances = content["instances"]
    check_row_count(len(instances))
    known = fields.keys()
    for row, instance in enumerate(instances):
        if not isinstance(instance, dict):
            raise invalid(f"row {row} has to be an object of fields and values")
        if not instance.keys() <= known:
            raise unknown_field(next(name for name in instance if name not in known), known)
    columns = {name: [instance.get(name) for instance in instances] for name in known}
    return validate(fields, columns, len(instances), request_id)


def write(response: InferenceResponse) -> bytes:
    """The body of a V1 response."""
    return orjson.dumps(
        {
            "predictions": [
                {response.output: score, "missing": missing, "stale": stale}
                for score, missing, stale in zip(response.scores, response.missing, response.stale, strict=True)
            ],
            "model_name": response.model,
            "model_version": response.version,
            "id": response.id,
        }
    )


def parse_json(text: bytes) -> Any:
    """The JSON of a request.

    Raises:
        InferenceError: it is not valid JSON; NaN and Infinity are not JSON, a missing value is null.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise malformed(f"the body is not valid JSON: {error}") from error
