"""The lookup that every peer shares, so that what differs is what surrounds it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loopline.components.contract import usecase
from loopline.components.contract.model import Model
from loopline.components.contract.signature import MISSING_CATEGORY, TENSORS
from loopline.components.serving.features import lookup as features
from loopline.components.serving.features.online_store import Online
from loopline.components.serving.protocol import request as question


class Lookup:
    """Raw features of a model for what is asked.

    Args:
        package: the use case.
        store: its feature store.
        model: a packaged model of it.
    """

    def __init__(self, package: str, store: str, model: str) -> None:
        self.spec = usecase.load(package).spec
        self._online = Online(self.spec.name, store)
        self.signature = Model.open(model, verify=False).signature
        self._views = self._online.views(self.signature.inputs)
        self._fields = question.fields(self.spec, [key for view in self._views for key in view.join_keys])

    async def columns(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """What the model takes, by name; None where there is no value."""
        asked = question.check(
            self._fields, {name: [row.get(name) for row in rows] for name in self._fields}, len(rows), None
        )
        keys = [features.keys(view, asked) for view in self._views]
        distinct = [list(dict.fromkeys(key for key in some if key is not None)) for some in keys]
        held = await self._online.read(self._views, distinct)
        stored = features.judge(
            self._views, keys, held, asked.columns[self.spec.entity.timestamp], self.spec.entity.lead
        )
        known = {**asked.columns, **stored.columns}
        return {feature.name: list(known[feature.name]) for feature in self.signature.inputs}

    def tensors(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """The same as the tensors of the model."""
        tensors = {}
        for name, held in self.signature.columns.items():
            if name == TENSORS["number"]:
                tensors[name] = np.array([columns[feature] for feature in held], np.float32).T
            else:
                texts = [[text or MISSING_CATEGORY for text in columns[feature]] for feature in held]
                tensors[name] = np.array(texts, object).T
        return tensors
