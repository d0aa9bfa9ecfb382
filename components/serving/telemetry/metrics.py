"""What the service counts, in Prometheus' form; every metric says which version of the model it is about."""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

# Buckets are what a release is judged by where there is no prediction log, so they are narrow where answers are usual.
SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
PROBABILITIES = tuple(round(share / 20, 2) for share in range(1, 20))


class Metrics:
    """The metrics of one service.

    Args:
        model: name of the model. ``version``: of it.
        probabilities: whether scores are probabilities; only of those the distribution is counted.
    """

    def __init__(self, model: str, version: str, *, probabilities: bool) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._labels = {"model_name": model, "model_version": version}
        # Looking a counter up by its labels costs more than counting, so those in use are kept.
        self._requests: dict[tuple[str, str], Counter] = {}
        self._requests_of = self._counter("requests", "Requests that were answered or refused", "protocol", "status")
        self._errors = self._counter("errors", "Requests that were refused, by kind of reason", "kind")
        self._seconds = self._histogram("request_seconds", "From a request's arrival to its answer", SECONDS)
        self._features_seconds = self._histogram("features_seconds", "Looking up stored features", SECONDS)
        self._predictor_seconds = self._histogram("predictor_seconds", "Waiting for the predictor", SECONDS)
        self._scores = self._histogram("score", "Scores", PROBABILITIES) if probabilities else None
        self._rows = self._only("rows", "Rows that were answered")
        self._hits = self._only("cache_hits", "Rows answered from the cache")
        self._misses = self._only("cache_misses", "Rows that the predictor was asked for")
        self._absent: dict[tuple[str, str], Counter] = {}
        self._absent_of = self._counter(
            "features_absent", "Stored features that a row went without", "feature", "reason"
        )
        self._store_failures = self._only("online_store_failures", "Requests that the online store failed")

    def answered(self, protocol: str, status: int, seconds: float) -> None:
        """Count a request and its duration."""
        key = (protocol, str(status))
        if key not in self._requests:
            self._requests[key] = self._requests_of.labels(**self._labels, protocol=protocol, status=str(status))
        self._requests[key].inc()
        self._seconds.observe(seconds)

    def refused(self, kind: str) -> None:
        """Count a refusal."""
        self._errors.labels(**self._labels, kind=kind).inc()

    def features_read(self, seconds: float) -> None:
        """Count a lookup."""
        self._features_seconds.observe(seconds)

    def store_failed(self) -> None:
        """Count a lookup that failed."""
        self._store_failures.inc()

    def predicted(self, seconds: float) -> None:
        """Count a call of the predictor."""
        self._predictor_seconds.observe(seconds)

    def cached(self, hits: int, misses: int) -> None:
        """Count rows by whether the cache had them."""
        self._hits.inc(hits)
        self._misses.inc(misses)

    def scored(self, scores: Sequence[float]) -> None:
        """Count answered rows and their scores."""
        self._rows.inc(len(scores))
        if self._scores:
            for score in scores:
                self._scores.observe(score)

    def absent(self, features: Sequence[str], reason: str) -> None:
        """Count features that a row went without: missing or stale."""
        for feature in features:
            key = (feature, reason)
            if key not in self._absent:
                self._absent[key] = self._absent_of.labels(**self._labels, feature=feature, reason=reason)
            self._absent[key].inc()

    def watch(self, name: str, text: str, value: Callable[[], float], *, grows: bool = False) -> None:
        """Show a number that something else keeps; a counter, if it only ever grows."""
        self._registry.register(_Watched(f"loopline_{name}", text, self._labels, value, grows=grows))

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return bytes(generate_latest(self._registry))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"loopline_{name}", text, [*self._labels, *labels], registry=self._registry)

    def _only(self, name: str, text: str) -> Counter:
        return self._counter(name, text).labels(**self._labels)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        whole = Histogram(f"loopline_{name}", text, list(self._labels), registry=self._registry, buckets=buckets)
        return whole.labels(**self._labels)


class _Watched(Collector):
    """A number that is read when metrics are."""

    def __init__(
        self, name: str, text: str, labels: dict[str, str], value: Callable[[], float], *, grows: bool
    ) -> None:
        self._family = CounterMetricFamily if grows else GaugeMetricFamily
        self._name = name
        self._text = text
        self._labels = labels
        self._value = value

    def collect(self) -> Iterable[Metric]:
        family = self._family(self._name, self._text, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), self._value())
        yield family
