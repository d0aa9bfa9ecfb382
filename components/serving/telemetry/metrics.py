"""The service's Prometheus metrics; each is labelled with the model's name and version."""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

# Buckets are narrow where most responses are, so that the latency of two versions can be compared by them.
SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
PROBABILITIES = tuple(round(share / 20, 2) for share in range(1, 20))


class Metrics:
    """The metrics of one service.

    Args:
        model: name of the model. ``version``: its version in the registry.
        probabilities: whether scores are probabilities; only then their distribution is recorded.
    """

    def __init__(self, model: str, version: str, *, probabilities: bool) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._labels = {"model_name": model, "model_version": version}
        # Looking up a counter by its labels costs more than counting, so the counters in use are kept.
        self._requests: dict[tuple[str, str], Counter] = {}
        self._requests_family = self._counter("requests", "Requests, by protocol and HTTP status", "protocol", "status")
        self._errors = self._counter("errors", "Requests that got an error, by kind", "kind")
        self._seconds = self._histogram("request_seconds", "Time from a request's arrival to its response", SECONDS)
        self._features_seconds = self._histogram("features_seconds", "Time to look up stored features", SECONDS)
        self._predictor_seconds = self._histogram("predictor_seconds", "Time of a predictor call", SECONDS)
        self._scores = self._histogram("score", "Scores", PROBABILITIES) if probabilities else None
        self._rows = self._single("rows", "Rows that were scored")
        self._hits = self._single("cache_hits", "Rows scored from the cache")
        self._misses = self._single("cache_misses", "Rows scored by the predictor")
        self._absent: dict[tuple[str, str], Counter] = {}
        self._absent_family = self._counter(
            "features_absent", "Stored features that were missing or stale", "feature", "reason"
        )
        self._store_failures = self._single("online_store_failures", "Requests that the online store failed")

    def count_request(self, protocol: str, status: int, seconds: float) -> None:
        """Count a request and record its duration."""
        key = (protocol, str(status))
        if key not in self._requests:
            self._requests[key] = self._requests_family.labels(**self._labels, protocol=protocol, status=str(status))
        self._requests[key].inc()
        self._seconds.observe(seconds)

    def count_error(self, kind: str) -> None:
        """Count an error."""
        self._errors.labels(**self._labels, kind=kind).inc()

    def observe_lookup(self, seconds: float) -> None:
        """Record the duration of a lookup."""
        self._features_seconds.observe(seconds)

    def count_store_failure(self) -> None:
        """Count a failed lookup."""
        self._store_failures.inc()

    def observe_predictor(self, seconds: float) -> None:
        """Record the duration of a predictor call."""
        self._predictor_seconds.observe(seconds)

    def count_cache(self, hits: int, misses: int) -> None:
        """Count rows by whether their score was cached."""
        self._hits.inc(hits)
        self._misses.inc(misses)

    def observe_scores(self, scores: Sequence[float]) -> None:
        """Count rows and record their scores."""
        self._rows.inc(len(scores))
        if self._scores:
            for score in scores:
                self._scores.observe(score)

    def count_absent(self, features: Sequence[str], reason: str) -> None:
        """Count features that were ``missing`` or ``stale`` for a row."""
        for feature in features:
            key = (feature, reason)
            if key not in self._absent:
                self._absent[key] = self._absent_family.labels(**self._labels, feature=feature, reason=reason)
            self._absent[key].inc()

    def export(self, name: str, text: str, value: Callable[[], float], *, counter: bool = False) -> None:
        """Export a number that another object keeps, as a gauge or a counter."""
        self._registry.register(_Exported(f"loopline_{name}", text, self._labels, value, counter=counter))

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return bytes(generate_latest(self._registry))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"loopline_{name}", text, [*self._labels, *labels], registry=self._registry)

    def _single(self, name: str, text: str) -> Counter:
        return self._counter(name, text).labels(**self._labels)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        whole = Histogram(f"loopline_{name}", text, list(self._labels), registry=self._registry, buckets=buckets)
        return whole.labels(**self._labels)


class _Exported(Collector):
    """A number that is read when the metrics are scraped."""

    def __init__(
        self, name: str, text: str, labels: dict[str, str], value: Callable[[], float], *, counter: bool
    ) -> None:
        self._family = CounterMetricFamily if counter else GaugeMetricFamily
        self._name = name
        self._text = text
        self._labels = labels
        self._value = value

    def collect(self) -> Iterable[Metric]:
        family = self._family(self._name, self._text, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), self._value())
        yield family
