"""The schema of usecase.yaml. Strict and frozen: an unknown key is an error."""

from datetime import date, datetime, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator, model_validator

from loopline.components.contract.fields import Duration, Name, Share
from loopline.components.contract.gates import Retrain, Validation
from loopline.components.contract.release import ReleasePolicy
from loopline.components.contract.schedule import Schedules
from loopline.components.contract.tables import Table
from loopline.components.contract.window import Window
from loopline.components.errors import LooplineError
from loopline.components.io.strict import Strict

Task = Literal["binary_classification", "regression"]


class EntitySpec(Strict):
    """The entity that is predicted: one row of ``table``, identified by ``keys``, with its event at ``timestamp``.

    Attributes:
        lead: the prediction is made this long before ``timestamp``; a feature must be observable by then.
    """

    table: Name
    keys: tuple[str, ...] = Field(min_length=1)
    timestamp: str
    lead: Duration = timedelta(0)


class Label(Strict):
    """The label column, and the column with the time that it became known (null: never, so the row has no label)."""

    column: str
    known_at: str


class Features(Strict):
    """What the model sees.

    Attributes:
        request: columns of the entity table that are known at the time of the prediction.
        stored: feature views of features.py, whole (``view``) or one feature (``view:feature``).
        lookback: how far before the window raw data is loaded, for the features of its first rows.
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
        seed: of all random numbers.
        epochs: maximum number of passes over the rows; the learning rate falls to zero over them.
        patience: stop after this many epochs without a better held-out loss.
        holdout: share of the rows, in stretches all over the window, that is held out to find the number of epochs.
        batch_size: maximum number of rows in a step, over all processes; a small dataset is taken in smaller steps.
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


Moment = str | datetime | date
Dates = tuple[Moment, Moment]


class Replay(Strict):
    """The period that ``loopline loop`` replays, and the default windows of the pipelines.

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
            LooplineError: one is not a time, or the window is empty.
        """
        return Window.parse(start, end, ZoneInfo(self.timezone))

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"'{value}' is not a timezone; write for example UTC or Europe/Berlin")
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
        for key, columns in wanted.items():
            for column in columns:
                if column not in table.columns:
                    raise ValueError(f"{key}: '{column}' is not a column of table {self.entity.table}")
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
