"""The feature lookup that every peer uses, so that they differ only in what surrounds it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loopline.components.contract import usecase
from loopline.components.contract.model import Model
from loopline.components.contract.signature import MISSING_CATEGORY, TENSORS
from loopline.components.serving.features.online_store import FeastOnlineStore
from loopline.components.serving.features.values import entity_keys, usable_values
from loopline.components.serving.protocol.fields import request_fields
from loopline.components.serving.protocol.request import validate


class Lookup:
    """Looks up the features of a model.

    Args:
        package: the use case.
        store: its feature store.
        model: a packaged model of it.
    """

    def __init__(self, package: str, store: str, model: str) -> None:
        self.spec = usecase.load(package).spec
        self._store = FeastOnlineStore(self.spec.name, store)
        self.signature = Model.open(model, verify=False).signature
        self._views = self._store.views(self.signature.inputs)
        self._fields = request_fields(self.spec, [key for view in self._views for key in view.join_keys])

    async def columns(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """The model's inputs by name; None where there is no value."""
        request = validate(
            self._fields, {name: [row.get(name) for row in rows] for name in self._fields}, len(rows), None
        )
        keys = [entity_keys(view, request) for view in self._views]
        distinct = [list(dict.fromkeys(key for key in of_view if key is not None)) for of_view in keys]
        found = await self._store.read(self._views, distinct)
        entity = self.spec.entity
        stored = usable_values(self._views, keys, found, request.columns[entity.timestamp], entity.lead)
        values = {**request.columns, **stored.columns}
        return {feature.name: list(values[feature.name]) for feature in self.signature.inputs}

    def tensors(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """The inputs as the model's tensors."""
        tensors = {}
        for name, features in self.signature.columns.items():
            if name == TENSORS["number"]:
                tensors[name] = np.array([columns[feature] for feature in features], np.float32).T
            else:
                texts = [[text or MISSING_CATEGORY for text in columns[feature]] for feature in features]
                tensors[name] = np.array(texts, object).T
        return tensors
