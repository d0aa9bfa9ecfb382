"""Promotes a version to champion, if the champion is still the one that it was compared with."""

import json
from pathlib import Path

from loopline.components.contract.evaluation import Comparison, Verdict, read
from loopline.components.contract.usecase import load
from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.components.registry import aliases, promotion_log, versions
from loopline.components.registry.client import opened
from loopline.components.registry.promotion_log import ChampionState, Entry

FORMAT = "loopline.promotion/1"


def promote(
    usecase: str,
    registry: str,
    version: str,
    expected_champion: str,
    verdict_path: Path | str,
    receipt_path: Path | str,
    *,
    comparison_path: Path | str | None = None,
    by: str = "",
) -> str:
    """Make a version the champion, unless the champion changed since that was decided.

    The same decision (this version over that champion) counts once: repeated, also after a person rolled it back, it
    changes nothing and gives the same answer as the first time. The receipt says ``from`` which champion ``to`` which
    version, the ``outcome``, the ``reason`` and the ``time`` of the decision.

    Args:
        usecase: package of the use case.
        registry: MLflow tracking URI.
        version: number or alias of the version.
        expected_champion: number of the champion that the version was compared with; empty: there was none; ``any``:
            a new replay of the past replaces whichever champion an earlier one left.
        verdict_path: the verdict of the gates on exactly this version.
        receipt_path: the JSON file to write.
        comparison_path: the comparison with that champion, if there was one.
        by: the run that promotes, for the promotion log.

    Returns:
        ``promoted``, or ``kept`` if another version was champion by then and stays.

    Raises:
        LooplineError: the verdict or the comparison is negative or of another model, or there is no such version.
    """
    name = load(usecase).spec.name
    expected = promotion_log.parse_expected(expected_champion)
    verdict = read(Verdict, verdict_path)
    comparison = read(Comparison, comparison_path) if comparison_path else None
    with opened(registry) as client:
        found = versions.find(client, name, version)
        _check(verdict, comparison, name, found)
        reason = "; ".join([verdict.reason, *([comparison.reason] if comparison else [])])
        entry = promotion_log.append(
            client, name, promotion_log.promotion(found.version, expected, reason=reason, by=by)
        )
        state = aliases.reconcile(client, name)
        if state.champion == found.version:
            aliases.clear_registered_as(client, name, found.version)
    receipt = {
        "format": FORMAT,
        "model": name,
        "from": entry.before.champion,
        "to": found.version,
        "outcome": "promoted" if entry.accepted else "kept",
        "reason": _reason(entry, state),
        "time": entry.time.isoformat(),
    }
    atomic.write_text(Path(receipt_path), json.dumps(receipt, indent=1))
    return str(receipt["outcome"])


def _check(verdict: Verdict, comparison: Comparison | None, name: str, version: versions.Version) -> None:
    """Refuse a version that has no passed verdict, or whose comparison it did not win.

    Raises:
        LooplineError: it may not become champion.
    """
    if verdict.model != version.digest:
        raise LooplineError(
            f"the verdict is about another model than version {version.version} of {name}; "
            "check the gates on that version"
        )
    if not verdict.passed:
        raise LooplineError(f"version {version.version} of {name} cannot become champion: {verdict.reason}")
    if comparison and comparison.challenger != version.digest:
        raise LooplineError(
            f"the comparison is about another challenger than version {version.version} of {name}; compare that version"
        )
    if comparison and not comparison.better:
        raise LooplineError(f"version {version.version} of {name} cannot become champion: {comparison.reason}")


def _reason(entry: Entry, now: ChampionState) -> str:
    """What the promotion did, and whether another version has become champion since."""
    superseded = entry.accepted and now.champion != entry.change.version
    later = f"; since then version {now.champion} became champion, and the old decision does not undo that"
    return entry.effect + (later if superseded else "")
