"""One version of a model behind an endpoint: from a question to an answer."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from components.contract.examples import Feature, request_features
from components.contract.signature import TENSORS, Signature
from components.contract.spec import UseCaseSpec
from components.serving import features
from components.serving.answer import Answer
from components.serving.cache import Cache, row_digests
from components.serving.features import Held, Key, Stored, View
from components.serving.metrics import Metrics
from components.serving.predictor import Predictor
from components.serving.question import Field, Question, fields
from components.serving.refusal import RefusedError, store_away
from components.serving.tensor import BYTES

# A store that takes longer is taken for dead, and the question answered without it.
STORE_SECONDS = 0.25
DATATYPES = {"number": "FP32", "category": BYTES}
logger = logging.getLogger(__name__)


class OnlineStore(Protocol):
    """Where stored features are looked up: `components.serving.online.Online`."""

    def features(self) -> dict[str, str]:
        """Every stored feature, with its view."""
        ...

    def views(self, features: Sequence[Feature]) -> list[View]:
        """The views of some features."""
        ...

    async def read(self, views: Sequence[View], keys: Sequence[Sequence[Key]]) -> list[dict[Key, Held]]:
        """What it holds, for each view and each of its keys."""
        ...


@dataclass(frozen=True)
class Inputs:
    """What the model takes, by tensor and in its order, and the views that a part of it comes from."""

    tensors: Mapping[str, tuple[Feature, ...]]
    views: tuple[View, ...]

    @property
    def features(self) -> list[Feature]:
        """All of them."""
        return [feature for held in self.tensors.values() for feature in held]


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
        self._store_works = True

    async def is_ready(self) -> bool:
        """Whether it would answer now."""
        try:
            await self.inputs()
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
                raise self._unfit(f"gives no '{self.output}'")
            columns = await self._predictor.columns()
            tensors = {str(t.get("name")): self._features(t, columns) for t in metadata["inputs"]}
            chosen = [feature for held in tensors.values() for feature in held]
            views = tuple(self._store.views(chosen)) if self._store else ()
            for view in views:
                if unknown := set(view.join_keys) - self.fields.keys():
                    raise self._unfit(f"takes features joined on {', '.join(unknown)}, which is not asked with")
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

    def _features(self, tensor: Mapping[str, Any], columns: Mapping[str, Sequence[str]]) -> tuple[Feature, ...]:
        """The features that a tensor holds."""
        name, datatype, shape = str(tensor.get("name")), tensor.get("datatype"), tensor.get("shape")
        kind = next((kind for kind, known in TENSORS.items() if known == name), None)
        if kind is None or datatype != DATATYPES[kind]:
            known = ", ".join(f"{TENSORS[kind]} as {datatype}" for kind, datatype in DATATYPES.items())
            raise self._unfit(f"takes '{name}' as {datatype}, and only {known} are known")
        names = columns.get(name, ())
        if not isinstance(shape, list) or shape[-1:] != [len(names)]:
            raise self._unfit(f"takes '{name}' of shape {shape}, and names {len(names)} features for it")
        return tuple(self._feature(feature, kind) for feature in names)

    def _feature(self, name: str, kind: str) -> Feature:
        if name in self._request:
            if self._request[name].kind != kind:
                raise self._unfit(f"takes '{name}' as a {kind}, and in usecase.yaml it is a {self._request[name].kind}")
            return self._request[name]
        if name not in self._stored:
            raise self._unfit(f"takes '{name}', which neither usecase.yaml nor the feature store has")
        return Feature(name, kind, self._stored[name])

    def _unfit(self, what: str) -> RefusedError:
        message = f"the predictor's model {what}; deploy it with the use case that it was trained with"
        logger.error(message)
        return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "unfit", message)

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
