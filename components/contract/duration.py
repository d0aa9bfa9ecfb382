"""Durations as people write them in a file: 45m, 1h, 2d, 8w."""

import re
from datetime import timedelta
from typing import Any

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(value: Any) -> timedelta:
    """Read ``<number><unit>`` with unit s, m, h, d or w; a timedelta passes through.

    Raises:
        ValueError: the text is not a duration.
    """
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", str(value).strip())
    if not match:
        raise ValueError(f"'{value}' is not a duration; write for example 45m, 1h or 2d")
    try:
        return timedelta(**{_UNITS[match[2]]: float(match[1])})
    except OverflowError as error:
        raise ValueError(f"'{value}' is too long") from error
