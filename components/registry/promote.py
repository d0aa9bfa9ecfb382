"""Promoting a version to champion, if the champion is still the one that it was compared with."""

import json
from pathlib import Path

from loopline.components.contract.evaluation import Verdict, read
from loopline.components.contract.usecase import load
from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.components.registry import aliases, ledger, versions
from loopline.components.registry.client import opened

FORMAT = "loopline.promotion/1"


def promote(
    usecase: str,
    registry: str,
    version: str,
    expected_champion: str,
    verdict_path: Path | str,
    receipt_path: Path | str,
) -> str:
    """Make a version the champion, unless the champion changed since that was decided.

    The same decision (this version over that champion) counts once: repeated, also after a person rolled it back, it
    changes nothing and gets the answer that it got first. The receipt says ``from`` which champion ``to`` which
    version, the ``outcome``, the ``reason`` and the ``time`` of the decision.

    Args:
        usecase: package of the use case.
        registry: MLflow tracking URI.
        version: number or alias of the version.
        expected_champion: number of the champion that the version was compared with; empty: there was none; ``any``:
            a replay of the past begins anew, and whoever an earlier one left as champion is replaced.
        verdict_path: the verdict of the gates on exactly this version.
        receipt_path: the JSON file to write.

    Returns:
        ``promoted``, or ``kept`` if the champion was another one and stays.

    Raises:
        LooplineError: the verdict is not passed or of another model, or there is no such version.
    """
    name = load(usecase).spec.name
    expected = ledger.expected(expected_champion)
    verdict = read(Verdict, verdict_path)
    with opened(registry) as client:
        found = versions.find(client, name, version)
        _admit(verdict, name, found)
        ruling = ledger.decide(client, name, ledger.promotion(found.version, expected))
        standing = aliases.settle(client, name)
        if standing.champion == found.version:
            aliases.release(client, name, found.version, versions.read_aliases(client, name))
    receipt = {
        "format": FORMAT,
        "model": name,
        "from": ruling.before.champion,
        "to": found.version,
        "outcome": "promoted" if ruling.holds else "kept",
        "reason": _reason(ruling, standing),
        "time": ruling.time.isoformat(),
    }
    atomic.write_text(Path(receipt_path), json.dumps(receipt, indent=1))
    return str(receipt["outcome"])


def _admit(verdict: Verdict, name: str, version: versions.Version) -> None:
    """Refuse a version without a passed verdict of its own.

    Raises:
        LooplineError: it has none.
    """
    if verdict.model != version.digest:
        raise LooplineError(
            f"the verdict is about another model than version {version.version} of {name}; "
            "check the gates on that version"
        )
    if not verdict.passed:
        raise LooplineError(f"version {version.version} of {name} cannot become champion: {verdict.reason}")


def _reason(ruling: ledger.Ruling, now: ledger.Standing) -> str:
    version, found = ruling.decision.version, ruling.before.champion
    if not ruling.holds:
        expected = f"version {ruling.decision.expected}" if ruling.decision.expected else "no champion"
        met = f"version {found} was champion" if found else "there was no champion"
        return f"the decision was made against {expected}, but {met} when it was carried out"
    if found == version:
        reason = f"version {version} was champion already"
    elif found:
        reason = f"version {version} took the place of version {found}"
    else:
        reason = f"version {version} is the first champion"
    if now.champion != version:
        reason += f"; since then version {now.champion} became champion, and the old decision does not undo that"
    return reason
