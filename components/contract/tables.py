"""The section ``tables`` of usecase.yaml: what the raw tables hold, and what is expected of a batch of them."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from loopline.components.contract.fields import Duration, Share
from loopline.components.io.strict import Strict

# The column of a quarantine table with the reasons.
QUARANTINE_REASON = "reason"


class Column(Strict):
    """The schema of one column of a raw table; a row that violates it is quarantined, not dropped."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # allowed: [1, 2] as well as ["1", "2"]

    type: Literal["string", "integer", "float", "boolean", "timestamp"]
    nullable: bool = False
    min: float | None = None
    max: float | None = None
    allowed: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _limits_fit(self) -> Self:
        if (self.min, self.max) != (None, None) and self.type not in {"integer", "float"}:
            raise ValueError(f"min and max are for integer and float columns, and this one is {self.type}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class Volume(Strict):
    """The expected number of rows of a batch."""

    rows_per_day: tuple[float, float]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.rows_per_day[0] > self.rows_per_day[1]:
            raise ValueError("rows_per_day is [least, most], and its least is above its most")
        return self


class Table(Strict):
    """One raw table of the source: its schema, and expectations of a batch.

    Attributes:
        columns: every column, by name; a column that is not listed is an error.
        key: columns whose values together are unique.
        timestamp: the column with the time of a row; a table without one is static (whole in every window).
        freshness: maximum age of the newest row at the end of the window.
        volume: expected rows per day in a window.
        bad_rows_allowed: share of rows that may be quarantined before the whole batch is rejected.
    """

    columns: dict[str, Column] = Field(min_length=1)
    key: tuple[str, ...] = ()
    timestamp: str | None = None
    freshness: Duration | None = None
    volume: Volume | None = None
    bad_rows_allowed: Share = 0.01

    @model_validator(mode="after")
    def _columns_exist(self) -> Self:
        if QUARANTINE_REASON in self.columns:
            raise ValueError(f"'{QUARANTINE_REASON}' is the column that quarantine adds; rename it in source.py")
        for column in [*self.key, *([self.timestamp] if self.timestamp else [])]:
            if column not in self.columns:
                raise ValueError(f"'{column}' is not among its columns")
        if self.timestamp and self.columns[self.timestamp].type != "timestamp":
            raise ValueError(f"'{self.timestamp}' is its timestamp but has type {self.columns[self.timestamp].type}")
        if (self.freshness or self.volume) and not self.timestamp:
            raise ValueError("freshness and volume need a timestamp column")
        return self
