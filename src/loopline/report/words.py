"""Numbers, times and names as people read them; the page and the terminal say them alike."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from loopline.components.contract.metrics import metric_title
from loopline.components.contract.window import parse_time

# Foremost first: the one word that says what a model is for.
ALIASES = ("champion", "challenger", "candidate", "previous")

# The states of steps and runs; the symbol carries the meaning where there is no colour.
SYMBOLS = {
    "succeeded": "✓",
    "cached": "↻",
    "running": "▶",
    "failed": "✕",
    "killed": "✕",
    "skipped": "–",
    "waiting": "·",
}

_SHORT = {"average_precision": "AP"}
_SHARES = {"mean_predicted": "{} share predicted", "mean_seen": "{} share seen"}


def metric_name(name: str, label: str | None = None) -> str:
    """A metric's name in words; with the label of a classification its means become shares of that label."""
    if label and name in _SHARES:
        return _SHARES[name].format(label)
    return metric_title(name)


def short_metric_name(name: str, label: str | None = None) -> str:
    """The same where room is scarce."""
    return _SHORT.get(name) or metric_name(name, label).replace(" share ", " ")


def metric(name: str, value: float | None) -> str:
    """A metric's value with its unit, at the precision at which differences begin to matter."""
    if value is None or math.isnan(value):
        return "–"
    if name == "model_bytes":
        return f"{value / 1e6:.3g} MB" if value >= 1e5 else f"{value / 1e3:.3g} kB"
    if name.endswith("_ms"):
        return f"{value:.2f} ms"
    if name in {"rows_per_second", "parameters"}:
        return count(value)
    return number(value)


def number(value: float) -> str:
    """A number: three decimals below ten, fewer above, thousands apart."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    size = abs(value)
    digits = 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
    return _minus(f"{value:,.{digits}f}")


def gain(value: float) -> str:
    """A difference: with its sign, and one decimal more than what it is a difference of."""
    text = _minus(f"{value:,.4f}") if abs(value) < 10 else number(value)
    return f"+{text}" if value > 0 else text


def count(value: float) -> str:
    """A whole number, thousands apart."""
    return _minus(f"{round(value):,}")


def counted(value: int, noun: str) -> str:
    """A number of things: ``1 step``, ``9 steps``."""
    return f"{count(value)} {noun if value == 1 else noun + 's'}"


def share(value: float) -> str:
    """A share as a percentage; what is small but not nothing never reads as nothing."""
    percent = 100 * value
    if 0 < percent < 0.01:
        return "< 0.01 %"
    digits = 2 if percent < 1 and percent else 1
    return f"{percent:.{digits}f} %"


def percent(level: float) -> str:
    """A level of confidence as a percentage: ``95 %``."""
    return f"{100 * level:g} %"


def duration(seconds: float) -> str:
    """A length of time."""
    if seconds < 0.95:
        return f"{seconds:.2f} s"
    if seconds < 99.5:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def short(digest: str) -> str:
    """Enough of a digest to tell it from others at a glance."""
    return digest.rpartition(":")[2][:12]


def window(start_end: Sequence[str], zone: str) -> str:
    """A window in the words of its timezone: whole months by name, else first and last day, else both moments."""
    first, after = (parse_time(text).astimezone(ZoneInfo(zone)) for text in start_end)
    last = after - timedelta(seconds=1)
    if not (_is_midnight(first) and _is_midnight(after)):
        return f"{first:%Y-%m-%d %H:%M} to {after:%Y-%m-%d %H:%M}"
    if not (first.day == 1 and after.day == 1):
        return f"{first:%Y-%m-%d}" if first.date() == last.date() else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first:%B %Y}"
    return f"{first:%B}{'' if first.year == last.year else f' {first:%Y}'} to {last:%B %Y}"


def month(text: str) -> str:
    """A month ``YYYY-MM`` by its name."""
    return f"{datetime.strptime(text, '%Y-%m').replace(tzinfo=UTC):%B %Y}"


def moment(text: str) -> str:
    """A moment to the minute."""
    return f"{parse_time(text):%Y-%m-%d %H:%M UTC}" if text else ""


def alias(aliases: Iterable[str]) -> str:
    """The foremost of a model's aliases, or an empty string."""
    known = set(aliases)
    return next((name for name in ALIASES if name in known), min(known, default=""))


def latest(months: Mapping[str, Mapping[str, float]]) -> tuple[str, Mapping[str, float]]:
    """The last month that a model was measured on, and its metrics; both empty where there is none."""
    return max(months.items(), default=("", {}))


def title(text: str) -> str:
    """Text with a capital at its front."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """Text with a capital at its front and a full stop at its end."""
    text = text.strip()
    return title(text) if not text or text[-1] in ".!?" else f"{title(text)}."


def _is_midnight(moment: datetime) -> bool:
    return not (moment.hour or moment.minute or moment.second)


def _minus(text: str) -> str:
    return text.replace("-", "−")
