"""Numbers in the sentence of a gate: exact enough to tell a value from its bound. Verdicts hold them as text."""


def number(value: float, digits: int = 3) -> str:
    """A number with so many decimals; three fewer and thousands separated from a thousand on; whole ones bare."""
    if abs(value) >= 1000 or (abs(value) > 1 and value == round(value)):
        return f"{value:,.{digits - 3}f}"
    return f"{value:.{digits}g}" if 0 < abs(value) < 0.1**digits else f"{value:.{digits}f}"


def distinct(value: float, bound: float) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to see that they differ, at least three."""
    texts = number(value), number(bound)
    for digits in range(4, 18):
        if texts[0] != texts[1] or value == bound:
            break
        texts = number(value, digits), number(bound, digits)
    return texts
