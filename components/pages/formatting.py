"""Numbers, times and text as people read them: every page, table and Markdown file writes them alike."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from loopline.components.contract.window import parse_time


def number(value: float) -> str:
    """A number: three decimals below ten, fewer above, thousands separated; a tiny one keeps its first digits."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    size = abs(value)
    if 0 < size < 0.001:
        return _minus(f"{value:.3g}")
    digits = 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
    return _minus(f"{value:,.{digits}f}")


def gain(value: float) -> str:
    """A difference: with its sign, and one decimal more than what it is a difference of."""
    text = _minus(f"{value:,.4f}") if abs(value) < 10 else number(value)
    return f"+{text}" if value > 0 else text


def count(value: float) -> str:
    """A whole number, thousands separated."""
    return _minus(f"{round(value):,}")


def counted(value: int, noun: str) -> str:
    """A number of things: ``1 step``, ``9 steps``."""
    return f"{count(value)} {noun if value == 1 else noun + 's'}"


def share(value: float) -> str:
    """A share as a percentage; a small one is never shown as zero."""
    percentage = 100 * value
    if 0 < percentage < 0.01:
        return "< 0.01%"
    digits = 2 if percentage < 1 and percentage else 1
    return f"{percentage:.{digits}f}%"


def percent(level: float) -> str:
    """A confidence level as a percentage: ``95%``."""
    return f"{100 * level:g}%"


def duration(seconds: float) -> str:
    """A length of time."""
    if seconds < 0.95:
        return f"{seconds:.2f} s"
    if seconds < 99.5:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def short(digest: str) -> str:
    """The first digits of a digest, enough to tell two apart."""
    return digest.rpartition(":")[2][:12]


def window(start_end: Sequence[str], zone: str) -> str:
    """A window in its timezone: whole months by name, otherwise first and last day, otherwise both moments."""
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


def cell(value: Any) -> str:
    """A value of a column: a number to six digits, or a moment to the minute; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("T", " ").removesuffix(":00")
    return count(value) if abs(value) >= 100_000 else _minus(f"{value:,.6g}")


def title(text: str) -> str:
    """Text with its first letter capitalised."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """Text with its first letter capitalised and a full stop at its end."""
    text = text.strip()
    return title(text) if not text or text[-1] in ".!?" else f"{title(text)}."


def clipped(text: str, most: int) -> str:
    """Text cut to so many characters, an ellipsis included."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _is_midnight(moment: datetime) -> bool:
    return not (moment.hour or moment.minute or moment.second)


def _minus(text: str) -> str:
    return text.replace("-", "−")
