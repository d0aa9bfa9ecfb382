"""The fields of a request, derived from usecase.yaml, and how a value of each type is checked."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from loopline.components.contract.examples import identity_columns
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.contract.window import parse_time
from loopline.components.errors import LooplineError

Number = TypeVar("Number", int, float)
INT64 = (-(2**63), 2**63 - 1)
# Models take float32.
MAX_FLOAT32 = 3.4028234663852886e38
# Times that every component can represent, with room for a lead and a time zone.
MIN_TIME, MAX_TIME = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Field:
    """A field of a request.

    Attributes:
        type: as in usecase.yaml: string, integer, float, boolean or timestamp.
        required: whether every row needs a value.
        minimum: smallest number that is accepted. ``maximum``: the largest.
        zone: time zone of a timestamp that names none.
    """

    name: str
    type: str
    required: bool
    minimum: float | None = None
    maximum: float | None = None
    zone: tzinfo = UTC

    def parse(self, value: Any) -> Any:
        """The value in the field's type; None if there is none (null or NaN).

        Raises:
            ValueError: it is missing or wrong; the message continues the field's name.
        """
        if value is None or (type(value) is float and math.isnan(value)):
            if self.required:
                raise ValueError("is missing")
            return None
        return _PARSERS[self.type](self, value)

    @property
    def sample(self) -> Any:
        """Some value of the field's type."""
        return _SAMPLES[self.type]

    def _string(self, value: Any) -> str:
        if type(value) is not str:
            raise ValueError(f"is {shorten(value)}, but has to be a string")
        return value

    def _integer(self, value: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or not INT64[0] <= value <= INT64[1]:
            raise ValueError(f"is {shorten(value)}, but has to be a 64-bit integer")
        return self._in_range(value)

    def _float(self, value: Any) -> float:
        if type(value) not in {int, float}:
            raise ValueError(f"is {shorten(value)}, but has to be a number")
        if not -MAX_FLOAT32 <= value <= MAX_FLOAT32:
            raise ValueError(f"is {value:g}, but has to be a finite 32-bit number")
        return self._in_range(float(value))

    def _boolean(self, value: Any) -> bool:
        if type(value) is not bool:
            raise ValueError(f"is {shorten(value)}, but has to be true or false")
        return value

    def _timestamp(self, value: Any) -> datetime:
        if type(value) is not str:
            raise ValueError(f"is {shorten(value)}, but has to be a time such as 2013-07-01T10:00:00Z")
        try:
            moment = parse_time(value, self.zone)
        except (LooplineError, OverflowError):
            moment = None
        if moment is None or not MIN_TIME <= moment < MAX_TIME:
            raise ValueError(f"is {shorten(value)}, but has to be a time such as 2013-07-01T10:00:00Z, 1900 to 2199")
        return moment

    def _in_range(self, value: Number) -> Number:
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"is {value:g}, below the minimum in usecase.yaml, {self.minimum:g}")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"is {value:g}, above the maximum in usecase.yaml, {self.maximum:g}")
        return value


_PARSERS = {
    "string": Field._string,
    "integer": Field._integer,
    "float": Field._float,
    "boolean": Field._boolean,
    "timestamp": Field._timestamp,
}
_SAMPLES = {"string": "", "integer": 0, "float": 0.0, "boolean": False, "timestamp": MIN_TIME}


def request_fields(spec: UseCaseSpec, join_keys: Collection[str]) -> dict[str, Field]:
    """The fields of a request: entity keys, event time, request features, and join keys of the feature views.

    A field that may be null in usecase.yaml may be left out. Limits on numbers apply as they do to training data; lists
    of allowed values do not, because the model treats a new category as an unknown one.

    Args:
        spec: the use case.
        join_keys: of the feature views whose features the model takes.

    Raises:
        LooplineError: a view is joined on something that is not a column of the entity table.
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


def shorten(value: Any) -> str:
    """A value for an error message, cut at 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
