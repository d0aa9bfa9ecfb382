"""A version of a model behind an endpoint: from a request to a response."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from loopline.components.contract.examples import Feature, request_features
from loopline.components.contract.signature import Signature
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.serving.features.lookup import FeatureLookup, OnlineStore
from loopline.components.serving.features.values import FeatureValues, View, all_missing
from loopline.components.serving.predictor.client import Predictor
from loopline.components.serving.predictor.model_inputs import AvailableFeatures, ModelInputs, incompatible
from loopline.components.serving.predictor.score_cache import ScoreCache, row_digests
from loopline.components.serving.protocol.errors import InferenceError, online_store_unavailable
from loopline.components.serving.protocol.fields import request_fields
from loopline.components.serving.protocol.metadata import ModelMetadata
from loopline.components.serving.protocol.request import InferenceRequest, sample_request
from loopline.components.serving.protocol.response import InferenceResponse
from loopline.components.serving.telemetry.metrics import Metrics

# Sample rows that are scored before a version is ready.
WARM_UP_ROWS = 50


class ServedModel:
    """Answers requests with a model and its stored features.

    The model's inputs are read from the predictor once it is up, so that one service serves a stable version and a
    canary that takes more features.

    Args:
        spec: the use case.
        version: of the model, in the registry.
        predictor: client of the predictor.
        store: the online store; None for a use case without stored features.
        cache: of scores.
        metrics: counts lookups and predictor calls.

    Raises:
        LooplineError: the feature store does not have the views in usecase.yaml.
    """

    def __init__(
        self,
        spec: UseCaseSpec,
        version: str,
        predictor: Predictor,
        store: OnlineStore | None,
        cache: ScoreCache,
        metrics: Metrics,
    ) -> None:
        self.spec = spec
        self._predictor = predictor
        self._store = store
        self._lookup = FeatureLookup(spec, store, metrics)
        self._cache = cache
        self._metrics = metrics
        stored = store.features() if store else {}
        self._available = AvailableFeatures({feature.name: feature for feature in request_features(spec)}, stored)
        in_use_case = {reference.partition(":")[0] for reference in spec.features.stored}
        views = self._views([Feature(name, "", view) for name, view in stored.items() if view in in_use_case])
        fields = request_fields(spec, [key for view in views for key in view.join_keys])
        output = Signature.for_task(spec.task, ()).output
        self.metadata = ModelMetadata(spec.name, version, spec.description, output, fields)
        self._inputs: ModelInputs | None = None
        self._warm_up_lock, self._is_warm = asyncio.Lock(), False

    async def is_ready(self) -> bool:
        """Whether it would respond now, and at its usual speed."""
        try:
            inputs = await self.inputs()
            async with self._warm_up_lock:
                if not self._is_warm:
                    await self._warm_up(inputs)
                    self._is_warm = True
        except InferenceError:
            return False
        return await self._predictor.is_ready()

    async def inputs(self) -> ModelInputs:
        """The model's inputs.

        Raises:
            InferenceError: the predictor is unavailable, or its model does not fit the use case.
        """
        if self._inputs is None:
            metadata = await self._predictor.metadata()
            if self.metadata.output not in {tensor.get("name") for tensor in metadata["outputs"]}:
                raise incompatible(f"has no output '{self.metadata.output}'")
            tensors = self._available.tensors(metadata["inputs"], await self._predictor.columns())
            views = self._views([feature for features in tensors.values() for feature in features])
            for view in views:
                if unknown := set(view.join_keys) - self.metadata.fields.keys():
                    raise incompatible(f"takes features joined on {', '.join(unknown)}, which no request has")
            self._inputs = ModelInputs(tensors, tuple(views))
        return self._inputs

    async def infer(self, request: InferenceRequest) -> InferenceResponse:
        """Answer a request.

        Raises:
            InferenceError: the predictor is unavailable or too slow, or returns an error.
        """
        inputs = await self.inputs()
        stored = await self._stored_features(inputs, request)
        values = {**request.columns, **stored.columns}
        columns = {feature.name: values[feature.name] for feature in inputs.features}
        digests = row_digests(list(columns.values()), self.metadata.version)
        scores = await self._scores(inputs, columns, digests)
        for names in stored.missing:
            self._metrics.count_absent(names, "missing")
        for names in stored.stale:
            self._metrics.count_absent(names, "stale")
        self._metrics.observe_scores(scores)
        model = self.metadata
        return InferenceResponse(
            request.id, model.name, model.version, model.output, scores, stored.missing, stored.stale, digests
        )

    async def _warm_up(self, inputs: ModelInputs) -> None:
        """Look up and score sample rows, uncounted: the first calls of a version are slow, which no canary should pay.

        Raises:
            InferenceError: the predictor is unavailable or too slow, or returns an error.
        """
        request = sample_request(self.metadata.fields)
        empty = {name: [[None]] * len(features) for name, features in inputs.tensors.items()}
        for _ in range(WARM_UP_ROWS):
            await self._lookup.warm_up(inputs.views, request)
            await self._predictor.scores(empty, 1, self.metadata.output)

    async def _stored_features(self, inputs: ModelInputs, request: InferenceRequest) -> FeatureValues:
        """The stored features; all missing if the store cannot be read, which the gates have tested the model for.

        Raises:
            InferenceError: the store cannot be read and the model takes nothing else, so every score would be the same.
        """
        found = await self._lookup.look_up(inputs.views, request)
        if found is not None:
            return found
        if not inputs.has_request_features:
            raise online_store_unavailable("the online store cannot be read, and the model takes no other features")
        return all_missing(inputs.views, request.rows)

    def _views(self, features: Sequence[Feature]) -> list[View]:
        return self._store.views(features) if self._store else []

    async def _scores(
        self, inputs: ModelInputs, columns: Mapping[str, Sequence[Any]], digests: Sequence[str]
    ) -> list[float]:
        """The score of each row, from the cache where possible."""
        cached = [self._cache.get(key) for key in digests]
        misses = [row for row, score in enumerate(cached) if score is None]
        self._metrics.count_cache(len(cached) - len(misses), len(misses))
        if not misses:
            return [score for score in cached if score is not None]
        everything = len(misses) == len(cached)
        tensors = {
            name: [
                columns[feature.name] if everything else [columns[feature.name][row] for row in misses]
                for feature in features
            ]
            for name, features in inputs.tensors.items()
        }
        started = time.perf_counter()
        scores = await self._predictor.scores(tensors, len(misses), self.metadata.output)
        self._metrics.observe_predictor(time.perf_counter() - started)
        for row, score in zip(misses, scores, strict=True):
            self._cache.put(digests[row], score)
            cached[row] = score
        return [score for score in cached if score is not None]
