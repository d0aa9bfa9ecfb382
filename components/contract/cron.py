"""Cron expressions, checked before they reach a cluster: Argo accepts an invalid one and then never fires."""

import re
from datetime import date

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, least and greatest value, and words that stand for values, of each field in order.
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
_LEAP_YEAR = 2024


def parse_cron(value: str) -> str:
    """Check a cron expression of five fields and return it with single spaces.

    The grammar is what Argo's scheduler accepts: numbers, names of months and days, ``*``, lists, ranges and steps;
    Sunday is 0. Macros such as ``@daily`` are refused: five fields say the hour too.

    Raises:
        ValueError: it is not valid, a value is out of its range, or no day of any year matches it.
    """
    fields = str(value).split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"'{value}' is not a cron expression: it has {len(fields)} fields instead of five "
            "(minute, hour, day of month, month, day of week); write for example '0 5 * * *'"
        )
    allowed = [_values(text, *field) for text, field in zip(fields, _FIELDS, strict=True)]
    _, _, days, months, _ = allowed
    # As cron does: if both days are given, either of them is enough, so only a lone day of month can be impossible.
    if fields[4] == "*" and not any(_exists(month, day) for month in months for day in days):
        raise ValueError(f"'{value}' would never fire: there is no such day in that month")
    return " ".join(fields)


def _values(text: str, name: str, least: int, most: int, words: tuple[str, ...]) -> set[int]:
    """All values that one field of an expression stands for."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(?:\*|(\w+)(?:-(\w+))?)(?:/([0-9]+))?", part)
        if not match:
            raise ValueError(f"'{part}' is not a valid {name} of a cron expression")
        first, last, step = match.groups()
        start = least if first is None else _value(first, name, least, most, words)
        to_the_end = first is None or step is not None  # */5 and 10/5 go on to the greatest value
        end = _value(last, name, least, most, words) if last else most if to_the_end else start
        if start > end:
            raise ValueError(f"{name} '{part}': a range begins with the smaller value")
        if step is not None and int(step) == 0:
            raise ValueError(f"{name} '{part}': a step is at least 1")
        found |= set(range(start, end + 1, int(step or 1)))
    return found


def _value(text: str, name: str, least: int, most: int, words: tuple[str, ...]) -> int:
    if text.lower() in words:
        return words.index(text.lower()) + least
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
        named = f" or {words[0]} to {words[-1]}" if words else ""
        raise ValueError(f"{name} '{text}' is not between {least} and {most}{named}")
    return int(text)


def _exists(month: int, day: int) -> bool:
    try:
        date(_LEAP_YEAR, month, day)
    except ValueError:
        return False
    return True
