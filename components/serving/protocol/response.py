"""What is answered: a score for each row, and which stored features it was made without."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """Scores of the rows of a question.

    Attributes:
        id: of the request.
        model: name of the model. ``version``: of it, in the registry.
        output: what a score is: ``probability`` or ``prediction``.
        missing: for each row, the stored features that had no value. ``stale``: those whose value was older than the
            ttl of their view. The model was given none in either case.
        digests: for each row, the digest of all features as the model was given them.
    """

    id: str
    model: str
    version: str
    output: str
    scores: Sequence[float]
    missing: Sequence[Sequence[str]]
    stale: Sequence[Sequence[str]]
    digests: Sequence[str]
