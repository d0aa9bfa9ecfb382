"""The first half of every DAG: from the raw tables of a window to its feature history, and on to examples."""

from typing import NamedTuple

from kfp import dsl

from loopline.components.data.component import ingest, validate_data
from loopline.components.features.component import build_features, join_features


class History(NamedTuple):
    """What is known of a window once its raw tables are validated."""

    data: dsl.Dataset
    quarantine: dsl.Dataset
    history: dsl.Dataset


class Examples(NamedTuple):
    """A window ready for a model: its examples, and the rows that did not make it."""

    quarantine: dsl.Dataset
    examples: dsl.Dataset


def _history(usecase: str, start: str, end: str) -> History:
    raw = ingest(usecase=usecase, start=start, end=end).outputs["raw"]
    validated = validate_data(usecase=usecase, raw=raw).outputs
    history = build_features(usecase=usecase, data=validated["data"]).outputs["history"]
    return History(validated["data"], validated["quarantine"], history)


def history_of(name: str) -> dsl.base_component.BaseComponent:
    """A nested pipeline of that name: ingest -> validate data -> build features.

    One name for each window that a DAG works on, so that the picture of the DAG says which is which.
    """

    def prepare(usecase: str, start: str, end: str) -> History:
        """Prepare the feature history of one window; nothing that became known after ``end`` is used."""
        return _history(usecase, start, end)

    return dsl.pipeline(name=name)(prepare)


def examples_of(name: str) -> dsl.base_component.BaseComponent:
    """A nested pipeline of that name: ingest -> validate data -> build features -> join features."""

    def prepare(usecase: str, start: str, end: str) -> Examples:
        """Prepare the examples of one window; nothing that became known after ``end`` is used."""
        known = _history(usecase, start, end)
        joined = join_features(usecase=usecase, start=start, end=end, data=known.data, history=known.history)
        return Examples(known.quarantine, joined.outputs["examples"])

    return dsl.pipeline(name=name)(prepare)
