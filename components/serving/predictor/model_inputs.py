"""What the model behind an endpoint takes, as its server describes it: so one code serves models of other inputs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from loopline.components.contract.examples import Feature
from loopline.components.contract.signature import TENSORS
from loopline.components.serving.features.lookup import View
from loopline.components.serving.protocol.errors import RefusedError
from loopline.components.serving.protocol.tensor import BYTES

DATATYPES = {"number": "FP32", "category": BYTES}
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """What the model takes, by tensor and in its order, and the views that a part of it comes from."""

    tensors: Mapping[str, tuple[Feature, ...]]
    views: tuple[View, ...]

    @property
    def features(self) -> list[Feature]:
        """All of them."""
        return [feature for held in self.tensors.values() for feature in held]


@dataclass(frozen=True)
class Known:
    """What an endpoint can give a model.

    Attributes:
        request: features that come with the question, by name.
        stored: features of the feature store, and the view that each is in.
    """

    request: Mapping[str, Feature]
    stored: Mapping[str, str]

    def tensors(
        self, described: Sequence[Mapping[str, Any]], columns: Mapping[str, Sequence[str]]
    ) -> dict[str, tuple[Feature, ...]]:
        """The features that each tensor of a model holds.

        Args:
            described: the tensors, as the V2 protocol describes inputs.
            columns: names of the features in each.

        Raises:
            RefusedError: a tensor or a feature is none that can be given.
        """
        return {str(tensor.get("name")): self._held(tensor, columns) for tensor in described}

    def _held(self, tensor: Mapping[str, Any], columns: Mapping[str, Sequence[str]]) -> tuple[Feature, ...]:
        name, datatype, shape = str(tensor.get("name")), tensor.get("datatype"), tensor.get("shape")
        kind = next((kind for kind, known in TENSORS.items() if known == name), None)
        if kind is None or datatype != DATATYPES[kind]:
            known = ", ".join(f"{TENSORS[kind]} as {datatype}" for kind, datatype in DATATYPES.items())
            raise unfit(f"takes '{name}' as {datatype}, and only {known} are known")
        names = columns.get(name, ())
        if not isinstance(shape, list) or shape[-1:] != [len(names)]:
            raise unfit(f"takes '{name}' of shape {shape}, and names {len(names)} features for it")
        return tuple(self._feature(feature, kind) for feature in names)

    def _feature(self, name: str, kind: str) -> Feature:
        if name in self.request:
            if self.request[name].kind != kind:
                raise unfit(f"takes '{name}' as a {kind}, and in usecase.yaml it is a {self.request[name].kind}")
            return self.request[name]
        if name not in self.stored:
            raise unfit(f"takes '{name}', which neither usecase.yaml nor the feature store has")
        return Feature(name, kind, self.stored[name])


def unfit(what: str) -> RefusedError:
    """The refusal of a model that cannot be served with this use case; it is logged, since no request is to blame."""
    message = f"the predictor's model {what}; deploy it with the use case that it was trained with"
    logger.error(message)
    return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "unfit", message)
