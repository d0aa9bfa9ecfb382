"""Numbers and names of metrics as people read them, in sentences and tables."""

from zoneinfo import ZoneInfo

from loopline.components.contract.window import parse_time


def number(value: float, digits: int = 3) -> str:
    """A number with so many decimals; three fewer and thousands separated from a thousand on; whole ones bare."""
    if abs(value) >= 1000 or (abs(value) > 1 and value == round(value)):
        return f"{value:,.{digits - 3}f}"
    return f"{value:.{digits}g}" if 0 < abs(value) < 0.1**digits else f"{value:.{digits}f}"


def apart(value: float, bound: float) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to see that they differ, at least three."""
    texts = number(value), number(bound)
    for digits in range(4, 18):
        if texts[0] != texts[1] or value == bound:
            break
        texts = number(value, digits), number(bound, digits)
    return texts


def span(start: str, end: str, timezone: str) -> str:
    """A window between two ISO moments as clocks in a timezone show it: bare dates at midnight, the end excluded."""
    zone = ZoneInfo(timezone)
    first, last = (parse_time(moment).astimezone(zone).strftime("%Y-%m-%d %H:%M") for moment in (start, end))
    return f"{first.removesuffix(' 00:00')} to {last.removesuffix(' 00:00')} ({timezone})"


def share(value: float) -> str:
    """A share as per cent."""
    return f"{value:.1%}"


def short(digest: str) -> str:
    """The first digits of a content digest, enough to tell two apart."""
    return digest.removeprefix("sha256:")[:12]
