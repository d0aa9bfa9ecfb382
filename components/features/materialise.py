"""Materialisation: updating the online store to a point in time, never beyond it and never back."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from feast import FeatureStore, FeatureView

from loopline.components.contract.dataset import Dataset
from loopline.components.contract.feature_store import REGISTRY
from loopline.components.contract.usecase import load
from loopline.components.contract.window import iso, parse_time
from loopline.components.features import history as histories
from loopline.components.features import online
from loopline.components.features.definitions import stored_views, view_versions
from loopline.components.features.history import History
from loopline.components.features.repository import create, define, open_repository
from loopline.components.features.store_access import for_writing
from loopline.components.features.stored_view import StoredView
from loopline.components.io import atomic

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def materialise(
    usecase: str, end: str, store: Path | str, history_path: Path | str, receipt_path: Path | str
) -> dict[str, Any]:
    """Update the online store to what was known at ``end``.

    For each key the latest row of history up to ``end`` is written, unless the store holds the same or a newer one. If
    the history of a view is the one that was materialised last, only rows after that time are read. Another history
    (a later window, a correction, late data) is compared key by key. A view that is already ahead of ``end`` is left
    as it is.

    The registry is replaced as a whole once everything is written. If the step is killed before that, the store holds
    some values newer than the registry says, and the next call completes it. A concurrent call waits.

    Args:
        usecase: package of the use case.
        end: the point in time, ISO; without a zone it is in the use case's timezone. What became known at it is
            included.
        store: the Feast repository (see `components.features.repository`), a folder or ``s3://bucket/prefix``; made if
            it is not there.
        history_path: the history to materialise.
        receipt_path: the JSON file to write.

    Returns:
        The content of the receipt: ``usecase``, ``end``, ``store``, ``registry``, ``history`` and ``data`` (digests),
        and for each view ``version``, ``rows`` written, and ``start`` and ``end`` of the interval that was read.

    Raises:
        LooplineError: the definitions are wrong, the history lacks a view, or the disk is full.
    """
    case = load(usecase)
    spec = case.spec
    views = stored_views(case)
    moment = parse_time(end, ZoneInfo(spec.timezone))
    history = Dataset.open(history_path)
    store_uri = str(store).rstrip("/")
    with for_writing(store_uri) as folder:
        atomic.remove_leftovers(folder)
        create(folder, spec.name)
        with atomic.new_file(folder / REGISTRY) as registry:
            if (folder / REGISTRY).is_file():
                shutil.copyfile(folder / REGISTRY, registry)
            repository = open_repository(folder, spec.name, registry.name)
            before = {view.name: view for view in repository.list_feature_views()}
            done = {name: view.most_recent_end_time for name, view in before.items() if view.most_recent_end_time}
            behind = [view for view in views if view.name not in done or done[view.name] <= moment]
            define(repository, behind, history, _lineage(usecase, behind, history))
            written = {view.name: _update(repository, view, history, moment, before.get(view.name)) for view in behind}
    ahead = {view.name: _unchanged(done[view.name]) for view in views if view not in behind}
    receipt = {
        "usecase": usecase,
        "end": iso(moment),
        "store": store_uri,
        "registry": f"{store_uri}/{REGISTRY}",
        "history": history.digest,
        "data": history.facts.get("data"),
        "views": {view.name: {"version": view.version, **(written | ahead)[view.name]} for view in views},
    }
    atomic.write_text(Path(receipt_path), json.dumps(receipt, indent=1))
    return receipt


def _update(
    repository: FeatureStore, view: StoredView, history: Dataset, end: datetime, before: FeatureView | None
) -> dict[str, Any]:
    """Write the new rows of a view; return how many, and the interval that was read."""
    registered = repository.get_feature_view(view.name)
    done = registered.most_recent_end_time
    same_history = before is not None and before.tags.get("history") == history.tables[view.name]["digest"]
    if same_history and done == end:
        return _unchanged(end)
    start = done if same_history else None
    source = History(str(history.file(view.name)), view.timestamp, view.created)
    keys = [view.column(key) for key in view.join_keys]
    latest = histories.latest(source, keys, list(view.columns), start, end)
    fresh = _newer_than_online(repository, view, latest)
    online.write(repository, view, fresh)
    if done != end:
        repository.registry.apply_materialization(registered, repository.project, start or done or BEGINNING, end)
    return {"rows": fresh.num_rows, "start": iso(start or BEGINNING), "end": iso(end)}


def _unchanged(moment: datetime) -> dict[str, Any]:
    return {"rows": 0, "start": iso(moment), "end": iso(moment)}


def _newer_than_online(repository: FeatureStore, view: StoredView, rows: pa.Table) -> pa.Table:
    """The rows whose values the online store lacks, and has no newer ones for."""
    features = [field.name for field in view.view.features]
    known = rows.to_pylist()
    keys = [{key: row[view.column(key)] for key in view.join_keys} for row in known]
    newer = []
    for row, held in zip(known, online.read(repository, view, features, keys), strict=True):
        since = row[view.timestamp].replace(microsecond=0)
        unchanged = held.since == since and all(
            online.same(row[view.column(feature)], held.values[feature]) for feature in features
        )
        newer.append(not unchanged and (held.since is None or held.since <= since))
    return rows.filter(pa.array(newer, pa.bool_()))


def _lineage(usecase: str, views: list[StoredView], history: Dataset) -> dict[str, dict[str, str]]:
    return {
        name: {
            "usecase": usecase,
            "version": version,
            "history": str(history.tables.get(name, {}).get("digest", "")),
            "data": str(history.facts.get("data", "")),
        }
        for name, version in view_versions(views).items()
    }
