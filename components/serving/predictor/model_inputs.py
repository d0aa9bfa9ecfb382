"""The inputs of the model behind an endpoint, from its server's metadata: one transformer serves models that differ."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loopline.components.contract.examples import Feature
from loopline.components.contract.signature import DATATYPES, TENSORS
from loopline.components.serving.features.values import View
from loopline.components.serving.protocol import errors
from loopline.components.serving.protocol.errors import InferenceError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelInputs:
    """The features that a model takes, by tensor and in order, and the views that the stored ones come from."""

    tensors: Mapping[str, tuple[Feature, ...]]
    views: tuple[View, ...]

    @property
    def features(self) -> list[Feature]:
        """All features."""
        return [feature for features in self.tensors.values() for feature in features]

    @property
    def has_request_features(self) -> bool:
        """Whether any feature comes with the request."""
        return any(not feature.view for feature in self.features)


@dataclass(frozen=True)
class AvailableFeatures:
    """The features that an endpoint can give a model.

    Attributes:
        request: features that come with the request, by name.
        stored: the view of each feature of the feature store.
    """

    request: Mapping[str, Feature]
    stored: Mapping[str, str]

    def tensors(
        self, metadata: Sequence[Mapping[str, Any]], columns: Mapping[str, Sequence[str]]
    ) -> dict[str, tuple[Feature, ...]]:
        """The features in each tensor of a model.

        Args:
            metadata: the model's inputs, as in the V2 protocol's model metadata.
            columns: names of the features in each tensor.

        Raises:
            InferenceError: a tensor or a feature is not available.
        """
        return {str(tensor.get("name")): self._features(tensor, columns) for tensor in metadata}

    def _features(self, tensor: Mapping[str, Any], columns: Mapping[str, Sequence[str]]) -> tuple[Feature, ...]:
        name, datatype, shape = str(tensor.get("name")), tensor.get("datatype"), tensor.get("shape")
        if name not in DATATYPES or datatype != DATATYPES[name]:
            supported = ", ".join(f"{name} as {datatype}" for name, datatype in DATATYPES.items())
            raise incompatible(f"takes '{name}' as {datatype}, but only {supported} are supported")
        names = columns.get(name, ())
        if not isinstance(shape, list) or shape[-1:] != [len(names)]:
            raise incompatible(f"takes '{name}' of shape {shape}, but names {len(names)} features for it")
        [kind] = [kind for kind, tensor_name in TENSORS.items() if tensor_name == name]
        return tuple(self._feature(feature, kind) for feature in names)

    def _feature(self, name: str, kind: str) -> Feature:
        if name in self.request:
            if self.request[name].kind != kind:
                raise incompatible(f"takes '{name}' as a {kind}, but in usecase.yaml it is a {self.request[name].kind}")
            return self.request[name]
        if name not in self.stored:
            raise incompatible(f"takes '{name}', which is neither in usecase.yaml nor in the feature store")
        return Feature(name, kind, self.stored[name])


def incompatible(reason: str) -> InferenceError:
    """The error of a model that cannot be served with this use case; also logged, as no client can do anything."""
    message = f"the predictor's model {reason}; deploy it with the use case that it was trained with"
    logger.error(message)
    return errors.incompatible_model(message)
