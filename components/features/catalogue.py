"""The catalogue: the feature views of a store, their features, lineage and how far each is materialised."""

from pathlib import Path
from typing import Any

from loopline.components.contract.window import iso
from loopline.components.features.repository import open_repository
from loopline.components.features.store_access import for_reading


def views(project: str, store: Path | str) -> list[dict[str, Any]]:
    """The feature views of a store, by name, as plain data.

    Args:
        project: the Feast project: the name of the use case.
        store: folder of the Feast repository, or ``s3://bucket/prefix``.

    Returns:
        For each view: ``name``, ``description``, ``owner``, names of its ``entities``, ``join_keys`` and ``features``,
        ``types`` of the latter two by name, ``ttl`` (text; "unlimited" if there is none), ``materialised`` (ISO moment
        up to which it is online, or None), ``tags`` (the user's, and the lineage that `materialise` adds).

    Raises:
        LooplineError: there is no store in that folder.
    """
    with for_reading(str(store).rstrip("/")) as folder:
        repository = open_repository(folder, project)
        return [
            {
                "name": view.name,
                "description": view.description,
                "owner": view.owner,
                "entities": list(view.entities),
                "join_keys": [field.name for field in view.entity_columns],
                "features": [field.name for field in view.features],
                "types": {field.name: str(field.dtype) for field in [*view.entity_columns, *view.features]},
                "ttl": str(view.ttl) if view.ttl else "unlimited",
                "materialised": iso(view.most_recent_end_time) if view.most_recent_end_time else None,
                "tags": dict(view.tags),
            }
            for view in sorted(repository.list_feature_views(), key=lambda view: view.name)
        ]
