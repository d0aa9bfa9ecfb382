"""What a use case says about itself in usecase.yaml. Strict and frozen: an unknown key is an error."""

from datetime import date, datetime, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from loopline.components.contract.duration import parse_duration
from loopline.components.contract.release import ReleasePolicy
from loopline.components.contract.schedule import Schedules
from loopline.components.contract.window import Window
from loopline.components.errors import LooplineError
from loopline.components.io.strict import Strict

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Task = Literal["binary_classification", "regression"]
# The column of a quarantine table that says why a row is in it.
QUARANTINE_REASON = "reason"


class Column(Strict):
    """What one column of a raw table holds; a row that breaks it is quarantined, not dropped."""

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
    """The reference that a batch's row count is held against."""

    rows_per_day: tuple[float, float]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.rows_per_day[0] > self.rows_per_day[1]:
            raise ValueError("rows_per_day is [least, most], and its least is above its most")
        return self


class Table(Strict):
    """One raw table of the source: its schema and what is expected of a batch of it.

    Attributes:
        columns: every column, by name; one that is not listed here is refused.
        key: columns that together are unique.
        timestamp: the column that places a row in time; a table without one is static (whole in every window).
        freshness: the newest row lies at most this long before the end of the window.
        volume: rows per day that a window must hold.
        bad_rows_allowed: share of rows that may be quarantined before the batch as a whole is refused.
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


class EntitySpec(Strict):
    """The thing that is predicted: one row of ``table``, named by ``keys``, happening at ``timestamp``.

    Attributes:
        lead: the prediction is made this long before ``timestamp``; a feature must be observable by then.
    """

    table: Name
    keys: tuple[str, ...] = Field(min_length=1)
    timestamp: str
    lead: Duration = timedelta(0)


class Label(Strict):
    """What is predicted, and the column that says when it became known (empty: never, so the row has no label)."""

    column: str
    known_at: str


class Features(Strict):
    """What the model sees.

    Attributes:
        request: columns of the entity table that are known when the question is asked.
        stored: feature views of features.py, whole (``view``) or one feature (``view:feature``).
        lookback: how far before a window the raw data must reach for its first row's features.
    """

    request: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()
    lookback: Duration = timedelta(0)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.request and not self.stored:
            raise ValueError("name at least one feature under request or stored")
        return self


class ModelSpec(Strict):
    """Hyper-parameters of the training stage. A use case with a model.py brings its own torch module to them.

    Attributes:
        seed: of everything that is drawn.
        epochs: at most so many passes over the rows; the learning rate falls to zero over them.
        patience: stop after so many epochs without a better held-out loss.
        holdout: share of the rows, in stretches all over the window, that is held out to find the number of epochs.
        batch_size: rows a step at most, over all processes; few rows are taken in smaller steps.
        members: perceptrons in the ensemble, each of ``depth`` layers of ``width``.
        bins: pieces of the piecewise-linear encoding of a number.
        embedding: widest embedding of a category.
        hide_numbers: share of cells hidden while training. ``hide_categories``: likewise.
        recency: the newest row weighs exp(recency) times the oldest.
        averaging: momentum of the running average of the weights.
    """

    seed: int = 7
    epochs: int = Field(default=12, ge=1)
    patience: int = Field(default=2, ge=1)
    holdout: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    batch_size: int = Field(default=1024, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=1.0, ge=0)
    members: int = Field(default=8, ge=1)
    width: int = Field(default=32, ge=1)
    depth: int = Field(default=3, ge=1)
    bins: int = Field(default=3, ge=1)
    embedding: int = Field(default=8, ge=1)
    dropout: Share = 0.0
    hide_numbers: Share = 0.1
    hide_categories: Share = 0.1
    recency: float = Field(default=1.0, ge=0)
    averaging: Share = 0.998


class Scenario(Strict):
    """A disturbance of the inputs under which the model is measured again.

    Attributes:
        missing: feature views or features that are emptied.
        shift: feature -> number of its standard deviations that are added.
    """

    name: Name
    missing: tuple[str, ...] = ()
    shift: dict[str, float] = Field(default_factory=dict)


class Gate(Strict):
    """A bound that a model has to hold before it may become champion.

    Attributes:
        metric: name of a metric of the evaluation (or of the footprint: latency_p99_ms, model_bytes).
        slice: hold it in the worst slice of this column instead of overall.
        scenario: hold it under this robustness scenario instead of on clean inputs.
    """

    metric: Name
    min: float | None = None
    max: float | None = None
    slice: str | None = None
    scenario: str | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError(f"gate on {self.metric} has neither min nor max")
        if self.slice and self.scenario:
            raise ValueError(f"gate on {self.metric} names both a slice and a scenario; make it two gates")
        return self


class Validation(Strict):
    """How a model is judged. A slice with fewer rows than ``slice_rows`` is shown but not judged."""

    slices: tuple[str, ...] = ()
    slice_rows: int = Field(default=200, ge=1)
    scenarios: tuple[Scenario, ...] = ()
    gates: tuple[Gate, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _gates_can_be_judged(self) -> Self:
        for gate in self.gates:
            if gate.slice and gate.slice not in self.slices:
                raise ValueError(f"gate on {gate.metric}: '{gate.slice}' is not among slices: {', '.join(self.slices)}")
            names = [scenario.name for scenario in self.scenarios]
            if gate.scenario and gate.scenario not in names:
                raise ValueError(f"gate on {gate.metric}: '{gate.scenario}' is not among scenarios: {', '.join(names)}")
        return self


class Retrain(Strict):
    """When a challenger replaces the champion.

    Attributes:
        window: how much history the challenger is trained on.
        metric: what the two are compared by, on the same rows.
        min_gain: how much better the challenger has to be at least.
        confidence: level of the paired-bootstrap interval whose lower end must exceed ``min_gain``.
        resamples: number of bootstrap resamples.
    """

    window: Duration
    metric: Name
    min_gain: float = 0.0
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    resamples: int = Field(default=500, ge=100)


Moment = str | datetime | date
Dates = tuple[Moment, Moment]


class Replay(Strict):
    """The stretch of the past that ``loopline loop`` replays, and the default windows of the pipelines.

    Each is [start, end] with the end excluded; a bare date is midnight in the use case's timezone.
    """

    train: Dates
    validate_on: Dates = Field(alias="validate")
    batch: Dates
    compare: Dates


class UseCaseSpec(Strict):
    """The whole of usecase.yaml."""

    name: Name
    description: str
    task: Task
    timezone: str = "UTC"
    entity: EntitySpec
    label: Label
    tables: dict[Name, Table] = Field(min_length=1)
    features: Features
    model: ModelSpec = ModelSpec()
    validation: Validation
    retrain: Retrain
    release: ReleasePolicy = ReleasePolicy()
    schedule: Schedules = Schedules()
    replay: Replay

    def window(self, start: str | date, end: str | date) -> Window:
        """The window between two dates or times, those without a zone taken in the use case's timezone.

        Raises:
            LooplineError: one is no time, or the window is empty.
        """
        return Window.parse(start, end, ZoneInfo(self.timezone))

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"'{value}' is no timezone; write for example UTC or Europe/Berlin")
        return value

    @model_validator(mode="after")
    def _windows_parse(self) -> Self:
        for name, dates in dict(self.replay).items():
            try:
                self.window(*dates)
            except LooplineError as error:
                raise ValueError(f"replay.{name.removesuffix('_on')}: {error}") from error
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        table = self.tables.get(self.entity.table)
        if table is None:
            raise ValueError(f"entity.table '{self.entity.table}' is not among tables: {', '.join(self.tables)}")
        wanted = {
            "entity.keys": self.entity.keys,
            "entity.timestamp": (self.entity.timestamp,),
            "label.column": (self.label.column,),
            "label.known_at": (self.label.known_at,),
            "features.request": self.features.request,
            "validation.slices": self.validation.slices,
        }
        for place, columns in wanted.items():
            for column in columns:
                if column not in table.columns:
                    raise ValueError(f"{place}: '{column}' is not a column of table {self.entity.table}")
        if self.label.column in self.features.request:
            raise ValueError(f"features.request: '{self.label.column}' is the label; a model must not see it")
        if self.label.known_at in self.features.request:
            raise ValueError(f"features.request: '{self.label.known_at}' is known only with the label")
        for column in (self.entity.timestamp, self.label.known_at):
            if table.columns[column].type != "timestamp":
                raise ValueError(f"'{column}' must have type timestamp")
        if table.timestamp != self.entity.timestamp:
            raise ValueError(f"tables.{self.entity.table}.timestamp must be entity.timestamp '{self.entity.timestamp}'")
        return self
