"""The V1 protocol: ``{"instances": [{...}, ...]}`` in, ``{"predictions": [{...}, ...]}`` out."""

from collections.abc import Mapping
from typing import Any

import orjson

from loopline.components.serving.protocol.errors import invalid, malformed
from loopline.components.serving.protocol.request import Field, Question, check, expect_rows, unknown_column
from loopline.components.serving.protocol.response import Answer


def read(body: bytes, fields: Mapping[str, Field], request_id: str | None) -> Question:
    """The question in the body of a V1 request.

    Raises:
        RefusedError: the body is no such thing, or a value is missing or wrong.
    """
    content = from_json(body)
    if not isinstance(content, dict) or not isinstance(content.get("instances"), list):
        raise invalid('the body has to be {"instances": [{...}, ...]}')
    if len(content) > 1:
        extra = next(name for name in content if name != "instances")
        raise invalid(f'the body has a key {extra[:60]!r} besides "instances"; leave it out')
    instances = content["instances"]
    expect_rows(len(instances))
    known = fields.keys()
    for row, instance in enumerate(instances):
        if not isinstance(instance, dict):
            raise invalid(f"row {row} has to be an object of names and values")
        if not instance.keys() <= known:
            raise unknown_column(next(name for name in instance if name not in known), known)
    columns = {name: [instance.get(name) for instance in instances] for name in known}
    return check(fields, columns, len(instances), request_id)


def write(answer: Answer) -> bytes:
    """The body of a V1 response."""
    return orjson.dumps(
        {
            "predictions": [
                {answer.output: score, "missing": missing, "stale": stale}
                for score, missing, stale in zip(answer.scores, answer.missing, answer.stale, strict=True)
            ],
            "model_name": answer.model,
            "model_version": answer.version,
            "id": answer.id,
        }
    )


def from_json(text: bytes) -> Any:
    """JSON of a request.

    Raises:
        RefusedError: it is none; NaN and Infinity are not JSON, null stands for a missing value.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise malformed(f"the body is no JSON: {error}") from error
