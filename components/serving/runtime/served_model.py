"""One version of a model behind an endpoint: from a question to an answer."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from loopline.components.contract.examples import Feature, request_features
from loopline.components.contract.signature import Signature
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.serving.features import lookup as features
from loopline.components.serving.features.lookup import Held, Key, Stored, View
from loopline.components.serving.predictor.client import Predictor
from loopline.components.serving.predictor.model_inputs import Inputs, Known, unfit
from loopline.components.serving.predictor.score_cache import Cache, row_digests
from loopline.components.serving.protocol.errors import RefusedError, store_away
from loopline.components.serving.protocol.request import Field, Question, fields, made_up
from loopline.components.serving.protocol.response import Answer
from loopline.components.serving.telemetry.metrics import Metrics

# A store that takes longer is taken for dead, and the question answered without it.
STORE_SECONDS = 0.25
# Rows that a version is tried with before it says that it is ready.
WARM_UP = 50
logger = logging.getLogger(__name__)


class OnlineStore(Protocol):
    """Where stored features are looked up: `loopline.components.serving.online.Online`."""

    def features(self) -> dict[str, str]:
        """Every stored feature, with its view."""
        ...

    def views(self, features: Sequence[Feature]) -> list[View]:
        """The views of some features."""
        ...

    async def read(self, views: Sequence[View], keys: Sequence[Sequence[Key]]) -> list[dict[Key, Held]]:
        """What it holds, for each view and each of its keys."""
        ...


class ServedModel:
    """Answers questions with a model and the features that are stored for it.

    What the model takes is asked of the predictor, once it is there: so one code serves a stable model and a canary
    that takes more features.

    Args:
        spec: the use case.
        version: of the model, in the registry.
        predictor: the model.
        store: the online store; None for a use case without stored features.
        cache: of scores.
        metrics: where lookups and calls are counted.

    Raises:
        LooplineError: the feature store has not what usecase.yaml names.
    """

    def __init__(
        self,
        spec: UseCaseSpec,
        version: str,
        predictor: Predictor,
        store: OnlineStore | None,
        cache: Cache,
        metrics: Metrics,
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.version = version
        self.output = Signature.for_task(spec.task, ()).output
        self._predictor = predictor
        self._store = store
        self._cache = cache
        self._metrics = metrics
        self._request = {feature.name: feature for feature in request_features(spec)}
        self._stored = store.features() if store else {}
        named = {reference.partition(":")[0] for reference in spec.features.stored}
        known = [Feature(name, "", view) for name, view in self._stored.items() if view in named]
        views = store.views(known) if store else []
        self.fields: Mapping[str, Field] = fields(spec, [key for view in views for key in view.join_keys])
        self._inputs: Inputs | None = None
        self._warming, self._is_warm = asyncio.Lock(), False
        self._store_works = True

    async def is_ready(self) -> bool:
        """Whether it would answer now, and as fast as later."""
        try:
            inputs = await self.inputs()
            async with self._warming:
                if not self._is_warm:
                    await self._warm_up(inputs)
                    self._is_warm = True
        except RefusedError:
            return False
        return await self._predictor.is_ready()

    async def inputs(self) -> Inputs:
        """What the model takes.

        Raises:
            RefusedError: the predictor is away, or its model takes or gives something else than is known here.
        """
        if self._inputs is None:
            metadata = await self._predictor.metadata()
            if self.output not in {tensor.get("name") for tensor in metadata["outputs"]}:
                raise unfit(f"gives no '{self.output}'")
            columns = await self._predictor.columns()
            tensors = Known(self._request, self._stored).tensors(metadata["inputs"], columns)
            chosen = [feature for held in tensors.values() for feature in held]
            views = tuple(self._store.views(chosen)) if self._store else ()
            for view in views:
                if unknown := set(view.join_keys) - self.fields.keys():
                    raise unfit(f"takes features joined on {', '.join(unknown)}, which is not asked with")
            self._inputs = Inputs(tensors, views)
        return self._inputs

    async def answer(self, question: Question) -> Answer:
        """Answer a question.

        Raises:
            RefusedError: the predictor is away, too slow or wrong.
        """
        inputs = await self.inputs()
        stored = await self._look_up(inputs.views, question)
        known = {**question.columns, **stored.columns}
        columns = {feature.name: known[feature.name] for feature in inputs.features}
        digests = row_digests(list(columns.values()), self.version)
        scores = await self._scores(inputs, columns, digests)
        for names in stored.missing:
            self._metrics.absent(names, "missing")
        for names in stored.stale:
            self._metrics.absent(names, "stale")
        self._metrics.scored(scores)
        return Answer(question.id, self.name, self.version, self.output, scores, stored.missing, stored.stale, digests)

    async def _warm_up(self, inputs: Inputs) -> None:
        """Look made-up rows up and score them, uncounted: a version's first calls are slow, and no sign of its quality.

        Raises:
            RefusedError: the predictor is away, too slow or wrong.
        """
        row = made_up(self.fields)
        keys = [[key for key in features.keys(view, row) if key is not None] for view in inputs.views]
        nothing = {name: [[None]] * len(held) for name, held in inputs.tensors.items()}
        for _ in range(WARM_UP):
            if self._store and inputs.views:
                with contextlib.suppress(Exception):  # it answers without its store too
                    async with asyncio.timeout(STORE_SECONDS):
                        await self._store.read(inputs.views, keys)
            await self._predictor.scores(nothing, 1, self.output)

    async def _look_up(self, views: Sequence[View], question: Question) -> Stored:
        if not views or self._store is None:
            return features.nothing((), question.rows)
        asked = [features.keys(view, question) for view in views]
        distinct = [list(dict.fromkeys(key for key in keys if key is not None)) for keys in asked]
        started = time.perf_counter()
        try:
            async with asyncio.timeout(STORE_SECONDS):
                held = await self._store.read(views, distinct)
        except Exception as error:  # noqa: BLE001 - each store's client raises its own
            self._metrics.store_failed()
            return self._without_store(views, question, error)
        self._metrics.features_read(time.perf_counter() - started)
        self._store_says(works=True)
        return features.judge(views, asked, held, question.columns[self.spec.entity.timestamp], self.spec.entity.lead)

    def _without_store(self, views: Sequence[View], question: Question, error: Exception) -> Stored:
        """Go on with what came with the question: gates have shown what a model is worth without its stored features.

        Raises:
            RefusedError: nothing came with it, and every answer would be the same.
        """
        self._store_says(works=False, error=error)
        if not self._request:
            raise store_away("the online store cannot be read, and all features of this model come from it")
        return features.nothing(views, question.rows)

    def _store_says(self, *, works: bool, error: Exception | None = None) -> None:
        """Log when the online store goes away and when it is back, not for each request in between."""
        if works != self._store_works:
            self._store_works = works
            if works:
                logger.info("the online store is back")
            else:
                logger.error("the online store cannot be read: %s: %s", type(error).__name__, error)

    async def _scores(
        self, inputs: Inputs, columns: Mapping[str, Sequence[Any]], digests: Sequence[str]
    ) -> list[float]:
        """The score of each row, from the cache where it is there."""
        cached = [self._cache.get(key) for key in digests]
        asked = [row for row, score in enumerate(cached) if score is None]
        self._metrics.cached(len(cached) - len(asked), len(asked))
        if not asked:
            return [score for score in cached if score is not None]
        every = len(asked) == len(cached)
        tensors = {
            name: [
                columns[feature.name] if every else [columns[feature.name][row] for row in asked] for feature in held
            ]
            for name, held in inputs.tensors.items()
        }
        started = time.perf_counter()
        fresh = await self._predictor.scores(tensors, len(asked), self.output)
        self._metrics.predicted(time.perf_counter() - started)
        for row, score in zip(asked, fresh, strict=True):
            self._cache.put(digests[row], score)
            cached[row] = score
        return [score for score in cached if score is not None]
