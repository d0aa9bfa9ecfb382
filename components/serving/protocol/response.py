"""The response: a score for each row, and the stored features that were not available for it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class InferenceResponse:
    """Scores of the rows of a request.

    Attributes:
        id: of the request.
        model: name of the model. ``version``: its version in the registry.
        output: what a score is: ``probability`` or ``prediction``.
        missing: for each row, the stored features without a value. ``stale``: those whose value was older than the ttl
            of their view. In both cases the model was given no value.
        digests: for each row, the digest of all feature values that the model was given.
    """

    id: str
    model: str
    version: str
    output: str
    scores: Sequence[float]
    missing: Sequence[Sequence[str]]
    stale: Sequence[Sequence[str]]
    digests: Sequence[str]
