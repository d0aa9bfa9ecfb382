"""The request: rows of entity keys, event time and request features, validated against usecase.yaml."""

import difflib
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loopline.components.serving.protocol.errors import InferenceError, invalid, too_large
from loopline.components.serving.protocol.fields import Field, shorten

# Rows of one request: Triton's largest batch.
MAX_ROWS = 1024
MAX_ID = 128


@dataclass(frozen=True)
class InferenceRequest:
    """Rows to score.

    Attributes:
        id: of the request.
        rows: how many there are.
        columns: by field, the validated values in the order of the rows; None where there is none.
    """

    id: str
    rows: int
    columns: Mapping[str, Sequence[Any]]


def sample_request(fields: Mapping[str, Field]) -> InferenceRequest:
    """A request of one artificial row, for warming up."""
    return InferenceRequest("", 1, {name: [field.sample] for name, field in fields.items()})


def validate(
    fields: Mapping[str, Field], columns: Mapping[str, Sequence[Any]], rows: int, request_id: str | None
) -> InferenceRequest:
    """A request from raw columns.

    Args:
        fields: of a request, by name.
        columns: values by field, as JSON or a tensor holds them.
        rows: how many values each column has.
        request_id: the client's id of the request; a new one is made if there is none.

    Raises:
        InferenceError: a value is missing or wrong; the message names row and field.
    """
    check_row_count(rows)
    validated: dict[str, list[Any]] = {}
    for name, field in fields.items():
        values = columns.get(name)
        if values is None:
            if field.required:
                raise invalid(f"'{name}' is missing; every row needs it")
            validated[name] = [None] * rows
            continue
        try:
            validated[name] = [field.parse(value) for value in values]
        except ValueError:
            raise _first_invalid(field, values) from None
    return InferenceRequest(id_or_new(request_id), rows, validated)


def check_row_count(rows: int) -> None:
    """Reject a request of no rows, or of too many.

    Raises:
        InferenceError: there are no rows, or more than 1,024.
    """
    if rows == 0:
        raise invalid("the request has no rows")
    if rows > MAX_ROWS:
        raise too_large(f"the request has {rows:,} rows, and the limit is {MAX_ROWS:,}; split it")


def unknown_field(name: str, known: Collection[str]) -> InferenceError:
    """The error for a field that does not exist. It is not ignored: a typo in an optional field would go unnoticed."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"the fields are {', '.join(known)}"
    return invalid(f"there is no field {shorten(name)}; {hint}")


def id_or_new(request_id: str | None) -> str:
    """The client's id of the request, or a new one.

    Raises:
        InferenceError: it is longer than 128 characters.
    """
    if not request_id:
        return uuid.uuid4().hex
    if len(request_id) > MAX_ID:
        raise invalid(f"the request id has {len(request_id)} characters, and the limit is {MAX_ID}")
    return request_id


def _first_invalid(field: Field, values: Sequence[Any]) -> InferenceError:
    for row, value in enumerate(values):
        try:
            field.parse(value)
        except ValueError as error:
            return invalid(f"row {row}: '{field.name}' {error}")
    raise AssertionError("a value that was invalid no longer is")
