"""What is asked: rows of entity keys, the event's time and request features, checked against usecase.yaml."""

import difflib
import math
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from loopline.components.contract.examples import identity_columns
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.contract.window import parse_time
from loopline.components.errors import LooplineError
from loopline.components.serving.protocol.errors import invalid, too_large

# Rows of one request: Triton's largest batch.
MAX_ROWS = 1024
MAX_ID = 128
Number = TypeVar("Number", int, float)
INTEGERS = (-(2**63), 2**63 - 1)
# A model takes float32.
LARGEST = 3.4028234663852886e38
# Moments that every part on the way can hold, with room for a lead and a zone.
FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Field:
    """One column that can be asked with.

    Attributes:
        type: as in usecase.yaml: string, integer, float, boolean or timestamp.
        required: whether every row needs a value.
        least: smallest number that is taken. ``most``: the largest.
        zone: of a time that names none.
    """

    name: str
    type: str
    required: bool
    least: float | None = None
    most: float | None = None
    zone: tzinfo = UTC

    def read(self, value: Any) -> Any:
        """A value as its type says; None where there is none (null, or a number that is not a number).

        Raises:
            ValueError: it is something else; the message goes on from the field's name.
        """
        if value is None or (type(value) is float and math.isnan(value)):
            if self.required:
                raise ValueError("is missing")
            return None
        return _READERS[self.type](self, value)

    def _string(self, value: Any) -> str:
        if type(value) is not str:
            raise ValueError(f"is {_shown(value)}, but has to be a string")
        return value

    def _integer(self, value: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or not INTEGERS[0] <= value <= INTEGERS[1]:
            raise ValueError(f"is {_shown(value)}, but has to be an integer of 64 bits")
        return self._within(value)

    def _float(self, value: Any) -> float:
        if type(value) not in {int, float}:
            raise ValueError(f"is {_shown(value)}, but has to be a number")
        if not -LARGEST <= value <= LARGEST:
            raise ValueError(f"is {value:g}, but has to be a finite number of 32 bits")
        return self._within(float(value))

    def _boolean(self, value: Any) -> bool:
        if type(value) is not bool:
            raise ValueError(f"is {_shown(value)}, but has to be true or false")
        return value

    def _timestamp(self, value: Any) -> datetime:
        if type(value) is not str:
            raise ValueError(f"is {_shown(value)}, but has to be a time such as 2013-07-01T10:00:00Z")
        try:
            moment = parse_time(value, self.zone)
        except (LooplineError, OverflowError):
            moment = None
        if moment is None or not FIRST <= moment < LAST:
            raise ValueError(f"is {_shown(value)}, but has to be a time such as 2013-07-01T10:00:00Z, 1900 to 2199")
        return moment

    def _within(self, value: Number) -> Number:
        if self.least is not None and value < self.least:
            raise ValueError(f"is {value:g}, below the least that usecase.yaml allows, {self.least:g}")
        if self.most is not None and value > self.most:
            raise ValueError(f"is {value:g}, above the most that usecase.yaml allows, {self.most:g}")
        return value


_READERS = {
    "string": Field._string,
    "integer": Field._integer,
    "float": Field._float,
    "boolean": Field._boolean,
    "timestamp": Field._timestamp,
}


_MADE_UP = {"string": "", "integer": 0, "float": 0.0, "boolean": False, "timestamp": FIRST}


@dataclass(frozen=True)
class Question:
    """Rows to answer.

    Attributes:
        id: of the request.
        rows: how many they are.
        columns: by field, the checked values in the order of the rows; None where there is none.
    """

    id: str
    rows: int
    columns: Mapping[str, Sequence[Any]]


def fields(spec: UseCaseSpec, join_keys: Collection[str]) -> dict[str, Field]:
    """The columns of a question: what names the row, what the model is asked with, what stored features are found by.

    What may be empty in usecase.yaml may be left out. Its limits on numbers hold, as they hold for training data; its
    lists of allowed values do not, since to a model a new category is an unknown one.

    Args:
        spec: the use case.
        join_keys: of the feature views whose features the model takes.

    Raises:
        LooplineError: a view is joined on something that is no column of the entity table.
    """
    columns = spec.tables[spec.entity.table].columns
    names = list(dict.fromkeys([*identity_columns(spec), *spec.features.request, *join_keys]))
    identity = set(identity_columns(spec))
    for name in names:
        if name not in columns:
            raise LooplineError(
                f"stored features are joined on '{name}', which is not a column of table {spec.entity.table}"
            )
    zone = ZoneInfo(spec.timezone)
    return {
        name: Field(
            name,
            columns[name].type,
            name in identity or not columns[name].nullable,
            columns[name].min,
            columns[name].max,
            zone,
        )
        for name in names
    }


def made_up(fields: Mapping[str, Field]) -> Question:
    """A row that nobody asked about."""
    return Question("", 1, {name: [_MADE_UP[field.type]] for name, field in fields.items()})


def check(
    fields: Mapping[str, Field], columns: Mapping[str, Sequence[Any]], rows: int, request_id: str | None
) -> Question:
    """A question from raw columns.

    Args:
        fields: what may be asked with.
        columns: values by name, as JSON or a tensor holds them.
        rows: how many each of them has.
        request_id: what the asker calls the request; made up if there is none.

    Raises:
        RefusedError: a value is missing or wrong; it names the row and the field.
    """
    expect_rows(rows)
    checked: dict[str, list[Any]] = {}
    for name, field in fields.items():
        values = columns.get(name)
        if values is None:
            if field.required:
                raise invalid(f"'{name}' is missing; each row has to give it")
            checked[name] = [None] * rows
            continue
        try:
            checked[name] = [field.read(value) for value in values]
        except ValueError:
            raise _first_wrong(field, values) from None
    return Question(identify(request_id), rows, checked)


def expect_rows(rows: int) -> None:
    """Refuse to answer nothing, or too much.

    Raises:
        RefusedError: there are no rows, or more than 1,024.
    """
    if rows == 0:
        raise invalid("there are no rows to answer")
    if rows > MAX_ROWS:
        raise too_large(f"{rows:,} rows were asked, and at most {MAX_ROWS:,} are taken at a time; send them in parts")


def unknown_column(name: str, known: Collection[str]) -> Exception:
    """The refusal of a column that nothing is known about; a typo in an optional one would go unnoticed."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"
    return invalid(f"{_shown(name)} is nothing that can be asked with; {hint}")


def identify(request_id: str | None) -> str:
    """The id of a request: its own, or a new one.

    Raises:
        RefusedError: it is longer than 128 characters.
    """
    if not request_id:
        return uuid.uuid4().hex
    if len(request_id) > MAX_ID:
        raise invalid(f"the id of the request has {len(request_id)} characters, and may have {MAX_ID}")
    return request_id


def _first_wrong(field: Field, values: Sequence[Any]) -> Exception:
    for row, value in enumerate(values):
        try:
            field.read(value)
        except ValueError as error:
            return invalid(f"row {row}: '{field.name}' {error}")
    raise AssertionError("a value that was wrong no longer is")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
