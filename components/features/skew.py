"""Training-serving skew: whether the online and the offline store hold the same values for the same time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from feast import FeatureStore

from loopline.components.contract.dataset import Dataset
from loopline.components.contract.examples import TIMESTAMP
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.contract.usecase import load
from loopline.components.contract.window import Window, iso, parse_time
from loopline.components.errors import LooplineError
from loopline.components.features import online
from loopline.components.features.definitions import stored_views
from loopline.components.features.entity_frame import EVENT_TIMESTAMP
from loopline.components.features.join import entity_rows, join_columns
from loopline.components.features.online import OnlineRow
from loopline.components.features.repository import open_repository, point_in_time
from loopline.components.features.store_access import for_reading
from loopline.components.features.stored_view import StoredView
from loopline.components.io import atomic

# Keys that are compared per view, spread evenly over all keys of the window.
SAMPLE = 500
# An online store may cut event timestamps to whole seconds.
RESOLUTION = timedelta(seconds=1)


@dataclass(frozen=True)
class ViewSkew:
    """The comparison of one view.

    Attributes:
        view: its name.
        keys: number of keys compared.
        values: values that are equal in both stores.
        expired: keys whose online value is older than the ttl, so neither store has a value.
        unknown: keys that neither store has a value for.
        ahead: keys whose online value is newer than the point in time, so they could not be compared.
        oldest: age of the oldest value that has not expired.
    """

    view: str
    keys: int
    values: int
    expired: int
    unknown: int
    ahead: int
    oldest: timedelta


def check_skew(
    usecase: str,
    end: str,
    store: Path | str,
    data_path: Path | str,
    history_path: Path | str,
    report_path: Path | str,
) -> list[ViewSkew]:
    """Compare the online store with the offline store at ``end``, and write a Markdown report.

    Compared are the join keys that occur in the entity rows of the dataset's window, at most `SAMPLE` per view. An
    online store does not enforce a ttl, so the age of its values is checked here, as in serving.

    Args:
        usecase: package of the use case.
        end: the point in time, ISO; without a zone it is in the use case's timezone.
        store: folder of the Feast repository, or ``s3://bucket/prefix``.
        data_path: the validated dataset whose keys are compared.
        history_path: the history that was materialised.
        report_path: the Markdown file to write.

    Returns:
        The counts of each view.

    Raises:
        LooplineError: a value differs (it names view, feature, key and both values), the online store holds future
            values, or nothing was materialised.
    """
    case = load(usecase)
    spec = case.spec
    moment = parse_time(end, ZoneInfo(spec.timezone))
    views = stored_views(case)
    data, history = Dataset.open(data_path), Dataset.open(history_path)
    start, stop = data.facts["window"]
    entities = entity_rows(spec, data, Window.parse(start, stop))
    with for_reading(str(store).rstrip("/")) as folder:
        repository = open_repository(folder, spec.name)
        results = [_compare(repository, spec, view, history, entities, moment) for view in views]
    atomic.write_text(Path(report_path), _report(spec, moment, results))
    return results


def _compare(
    repository: FeatureStore,
    spec: UseCaseSpec,
    view: StoredView,
    history: Dataset,
    entities: pa.Table,
    moment: datetime,
) -> ViewSkew:
    registered = next((found for found in repository.list_feature_views() if found.name == view.name), None)
    done = registered.most_recent_end_time if registered else None
    if done is None or done < moment:
        raise LooplineError(
            f"feature view '{view.name}' is materialised up to {iso(done) if done else 'no moment'}, "
            f"not to {iso(moment)}: materialise first"
        )
    keys = _sample(spec, view, entities)
    rows = keys.append_column(EVENT_TIMESTAMP, pa.array([moment] * keys.num_rows, TIMESTAMP))
    offline = point_in_time(spec.name, [view], history, rows).select(view.wanted).to_pylist()
    count = dict.fromkeys(("values", "expired", "unknown", "ahead"), 0)
    oldest = timedelta(0)
    requested = keys.to_pylist()
    stored = online.read(repository, view, view.wanted, requested)
    for key, expected, row in zip(requested, offline, stored, strict=True):
        state = _compare_key(view, _named(key), expected, row, moment, done)
        count[state] += len(view.wanted) if state == "values" else 1
        if state == "values" and row.since:
            oldest = max(oldest, moment - row.since)
    return ViewSkew(view.name, keys.num_rows, oldest=oldest, **count)


def _compare_key(
    view: StoredView, key: str, expected: dict[str, Any], row: OnlineRow, moment: datetime, done: datetime
) -> str:
    """The outcome for one key; raise if the stores differ."""
    nothing = dict.fromkeys(view.wanted)
    if row.since is None:
        _check_equal(view, key, expected, nothing)
        return "unknown"
    if row.since > done:
        raise LooplineError(
            f"the online store holds future values: feature view '{view.name}' has values since {iso(row.since)} for "
            f"{key}, but is materialised only to {iso(done)}"
        )
    if row.since > moment:
        return "ahead"
    age = moment - row.since
    if not view.view.ttl or age <= view.view.ttl:
        _check_equal(view, key, expected, row.values)
        return "values"
    just_expired = age - view.view.ttl < RESOLUTION
    if not (just_expired and _equal(expected, row.values)):
        _check_equal(view, key, expected, nothing)
    return "expired"


def _check_equal(view: StoredView, key: str, offline: dict[str, Any], online_values: dict[str, Any]) -> None:
    for feature in view.wanted:
        if not online.same(offline[feature], online_values[feature]):
            raise LooplineError(
                f"skew between the stores: feature '{feature}' of view '{view.name}' for {key} is {offline[feature]} "
                f"offline and {online_values[feature]} online; materialise again, or find out what else writes there"
            )


def _equal(offline: dict[str, Any], online_values: dict[str, Any]) -> bool:
    return all(online.same(value, online_values[feature]) for feature, value in offline.items())


def _sample(spec: UseCaseSpec, view: StoredView, entities: pa.Table) -> pa.Table:
    """The distinct keys of a view; of many, a deterministic sample, evenly spread."""
    keys = join_columns(spec, [view], entities)
    if not keys:
        return entities.slice(0, 1).select([])
    distinct = entities.select(keys).drop_null().group_by(keys).aggregate([])
    ordered = distinct.sort_by([(key, "ascending") for key in keys])
    if ordered.num_rows <= SAMPLE:
        return ordered
    return ordered.take(pa.array(np.linspace(0, ordered.num_rows - 1, SAMPLE).astype(np.int64)))


def _named(key: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in key.items()) or "the only key"


def _report(spec: UseCaseSpec, moment: datetime, results: Sequence[ViewSkew]) -> str:
    values, keys = sum(result.values for result in results), sum(result.keys for result in results)
    lines = [
        f"# Online and offline features of {spec.name} at {iso(moment)}",
        "",
        f"{values} values of {keys} keys compared, all equal.",
        "",
        "| view | keys | equal values | expired | unknown to both | online is ahead | oldest value |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r.view} | {r.keys} | {r.values} | {r.expired} | {r.unknown} | {r.ahead} | {r.oldest} |" for r in results
    ]
    return "\n".join(lines) + "\n"
