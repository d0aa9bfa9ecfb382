"""The lookup of stored features for a request: with a deadline, counted, and able to do without the store."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from loopline.components.contract.examples import Feature
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.serving.features.values import (
    FeatureValues,
    Key,
    StoredRow,
    View,
    all_missing,
    entity_keys,
    usable_values,
)
from loopline.components.serving.protocol.request import InferenceRequest
from loopline.components.serving.telemetry.metrics import Metrics

# Deadline of a read; after it the request is answered without stored features.
READ_SECONDS = 0.25
logger = logging.getLogger(__name__)


class OnlineStore(Protocol):
    """An online store: `loopline.components.serving.features.online_store.FeastOnlineStore`, or a test's."""

    def features(self) -> dict[str, str]:
        """Every stored feature, with its view."""
        ...

    def views(self, features: Sequence[Feature]) -> list[View]:
        """The views of some features."""
        ...

    async def read(self, views: Sequence[View], keys: Sequence[Sequence[Key]]) -> list[dict[Key, StoredRow]]:
        """What the store has, for each view and each of its entity keys."""
        ...


class FeatureLookup:
    """Looks up the stored features of requests.

    Args:
        spec: the use case.
        store: the online store; None for a use case without stored features.
        metrics: counts lookups.
    """

    def __init__(self, spec: UseCaseSpec, store: OnlineStore | None, metrics: Metrics) -> None:
        self._entity = spec.entity
        self._store = store
        self._metrics = metrics
        self._store_is_up = True

    async def look_up(self, views: Sequence[View], request: InferenceRequest) -> FeatureValues | None:
        """The stored features of a request's rows; None if the store cannot be read in time."""
        if not views or self._store is None:
            return all_missing((), request.rows)
        keys = [entity_keys(view, request) for view in views]
        distinct = [list(dict.fromkeys(key for key in of_view if key is not None)) for of_view in keys]
        started = time.perf_counter()
        try:
            async with asyncio.timeout(READ_SECONDS):
                stored = await self._store.read(views, distinct)
        except Exception as error:  # noqa: BLE001 - each store's client raises its own
            self._metrics.count_store_failure()
            self._log_change(error)
            return None
        self._metrics.observe_lookup(time.perf_counter() - started)
        self._log_change(None)
        return usable_values(views, keys, stored, request.columns[self._entity.timestamp], self._entity.lead)

    async def warm_up(self, views: Sequence[View], request: InferenceRequest) -> None:
        """Read the rows of a request without counting it; a store that cannot be read is no error."""
        if not views or self._store is None:
            return
        keys = [[key for key in entity_keys(view, request) if key is not None] for view in views]
        with contextlib.suppress(Exception):
            async with asyncio.timeout(READ_SECONDS):
                await self._store.read(views, keys)

    def _log_change(self, error: Exception | None) -> None:
        """Log when the store goes down and when it is back, not for every request in between."""
        if (error is None) == self._store_is_up:
            return
        self._store_is_up = error is None
        if error is None:
            logger.info("the online store is back")
        else:
            logger.error("the online store cannot be read: %s: %s", type(error).__name__, error)
