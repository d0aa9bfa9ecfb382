"""A Feast repository as a folder, in the layout that any Feast tool can open.

Layout::

    feature_store.yaml   names Loopline's offline store, and the files below
    registry.db          definitions with their lineage, and how far each view is materialised
    online.db            the online store (SQLite), unless LOOPLINE_ONLINE_STORE names a Redis
    history              link to the history that the definitions read
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import yaml
from feast import FeatureStore, RepoConfig

from loopline.components.contract.dataset import Dataset
from loopline.components.contract.feature_store import REGISTRY, SETTINGS, settings
from loopline.components.errors import LooplineError
from loopline.components.features.stored_view import StoredView
from loopline.components.io import atomic

HISTORY = "history"
OFFLINE_STORE = "loopline.components.features.offline_store.AsofOfflineStore"


def create(folder: Path, project: str) -> None:
    """Make a folder a Feast repository of the project, if it is none yet."""
    if not (folder / SETTINGS).is_file():
        atomic.write_text(folder / SETTINGS, yaml.safe_dump(_settings(project, Path(), REGISTRY, to_file=True)))


def open_repository(folder: Path, project: str, registry: str = REGISTRY, *, online: bool = True) -> FeatureStore:
    """Open the Feast repository in a folder.

    Args:
        folder: where it is.
        project: the Feast project: the name of the use case.
        registry: the file in it that holds the registry.
        online: whether it has an online store.
    """
    folder = folder.absolute()
    chosen = _settings(project, folder, registry) | ({} if online else {"online_store": None})
    return FeatureStore(config=RepoConfig(**chosen, repo_path=folder))


def define(
    repository: FeatureStore, views: Sequence[StoredView], history: Dataset, tags: Mapping[str, Mapping[str, str]]
) -> None:
    """Register the definitions of some views in a repository, with the given history as their source.

    Args:
        repository: the repository.
        views: the views.
        history: their source from now on.
        tags: additional tags by view.

    Raises:
        LooplineError: the history lacks one of them.
    """
    for view in views:
        if view.name not in history.tables:
            raise LooplineError(
                f"the history {history.path} has no table '{view.name}', which usecase.yaml names under "
                "features.stored; build the features again"
            )
    if not views:
        return
    link = Path(repository.config.repo_path) / HISTORY
    new = link.with_name(f".{HISTORY}")
    new.unlink(missing_ok=True)
    new.symlink_to(history.path.absolute(), target_is_directory=True)
    new.replace(link)
    entities = {entity.name: entity for view in views for entity in view.entities}
    repository.apply([*entities.values(), *(view.bound(HISTORY, tags.get(view.name, {})) for view in views)])


def point_in_time(project: str, views: Sequence[StoredView], history: Dataset, rows: pa.Table) -> pa.Table:
    """The features of some views as they were known at the timestamp of each row, through Feast.

    Args:
        project: the Feast project: the name of the use case.
        views: the views.
        history: their history.
        rows: join keys and ``event_timestamp``.

    Returns:
        The columns of the rows, then the features, in the order of the rows.

    Raises:
        LooplineError: the history lacks a view or cannot be joined.
    """
    with TemporaryDirectory(prefix="loopline-repository-") as folder:
        repository = open_repository(Path(folder), project, online=False)
        define(repository, views, history, {})
        references = [reference for view in views for reference in view.references]
        return repository.get_historical_features(rows, references).to_arrow()


def _settings(project: str, folder: Path, registry: str, *, to_file: bool = False) -> dict[str, Any]:
    return {
        **settings(project, folder, registry, to_file=to_file),
        "offline_store": {"type": OFFLINE_STORE},
        "materialization": {"pull_latest_features": True},
    }
