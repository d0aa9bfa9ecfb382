"""The profile as one HTML page that needs nothing else: no script, no style sheet, no network."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pyarrow as pa

from loopline.components.contract.spec import QUARANTINE_REASON

SAMPLE_ROWS = 20
BAR_WIDTH, BAR_HEIGHT = 9, 28
_FIGURE = re.compile(r"-?[\d,]+(\.\d+)?(e[+-]?\d+)?%?")

_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #1f2933; background: #fff; margin: 2rem auto; max-width: 72rem;
  padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2.2rem } h3 { font-size: 1rem; color: #52606d }
table { border-collapse: collapse; margin: .5rem 0 } .wide { overflow-x: auto }
th, td { padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #e4e7eb; white-space: nowrap }
th { color: #52606d; font-weight: 600 } td.n { text-align: right; font-variant-numeric: tabular-nums }
svg { display: block; fill: #3e7cb1 } .bad { color: #ab091e }
.refused { border-left: 4px solid #ab091e; padding: .2rem 1rem }
"""


def render_page(
    title: str,
    profile: Mapping[str, Mapping[str, Any]],
    reasons: Mapping[str, Mapping[str, int]],
    quarantined: Mapping[str, pa.Table],
    broken: Sequence[str],
) -> str:
    """Draw the page.

    Args:
        title: its heading, plain text.
        profile: by table ``rows_in``, ``rows_out``, ``rows_quarantined`` and ``columns`` as `profile_table` gives them.
        reasons: by table, rows by reason.
        quarantined: by table, the bad rows with their reasons.
        broken: the expectations that the batch breaks, if any.
    """
    refused = "".join(f"<li>{escape(sentence)}</li>" for sentence in broken)
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}</h1>",
        f"<div class=refused><b class=bad>This batch is refused</b><ul>{refused}</ul></div>" if broken else "",
    ]
    for name, table in profile.items():
        parts.append(f"<h2>{escape(name)}</h2><p>{_counts(table)}</p>{_columns(table['columns'])}")
        if table["rows_quarantined"]:
            parts.append(_quarantine(reasons[name], quarantined[name]))
    return "\n".join(part for part in parts if part) + "\n"


def _counts(table: Mapping[str, Any]) -> str:
    bad = table["rows_quarantined"]
    return (
        f"{table['rows_in']:,} rows in, {table['rows_out']:,} out, "
        f"<span{' class=bad' if bad else ''}>{bad:,} quarantined</span>"
    )


def _columns(columns: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [name, column["type"], f"{column['missing']:.2%}", f"{column['distinct']:,}"]
        + [_number(column[key]) for key in ("min", "mean", "max")]
        for name, column in columns.items()
    ]
    drawings = [_histogram(column["histogram"]) for column in columns.values()]
    return _table(["column", "type", "missing", "distinct", "min", "mean", "max"], rows, ["distribution"], drawings)


def _quarantine(reasons: Mapping[str, int], rows: pa.Table) -> str:
    counted = _table(["reason", "rows"], [[reason, f"{count:,}"] for reason, count in reasons.items()])
    sample = rows.slice(0, SAMPLE_ROWS)
    names = [QUARANTINE_REASON, *(name for name in rows.column_names if name != QUARANTINE_REASON)]
    values = [["" if row[name] is None else str(row[name]) for name in names] for row in sample.to_pylist()]
    return f"<h3>Quarantined</h3>{counted}<h3>The first {sample.num_rows} of them</h3>{_table(names, values)}"


def _table(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    drawn_names: Sequence[str] = (),
    drawings: Sequence[str] = (),
) -> str:
    """A table of texts, which are escaped, and a last column of drawings, which are markup already."""
    head = "".join(f"<th>{escape(name)}</th>" for name in [*names, *drawn_names])
    body = []
    for i, row in enumerate(rows):
        cells = "".join(f"<td{_align(text)}>{escape(text)}</td>" for text in row)
        body.append(f"<tr>{cells}{f'<td>{drawings[i]}</td>' if drawings else ''}</tr>")
    return f"<div class=wide><table><tr>{head}</tr>{''.join(body)}</table></div>"


def _align(text: str) -> str:
    return " class=n" if _FIGURE.fullmatch(text) else ""


def _number(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:,.6g}"


def _histogram(counts: Sequence[tuple[str, int]]) -> str:
    """Bars as an inline SVG; hovering shows what a bar stands for."""
    if not counts:
        return ""
    highest = max(count for _, count in counts) or 1
    bars = []
    for i, (label, count) in enumerate(counts):
        height = max(BAR_HEIGHT * count / highest, 1 if count else 0)
        bars.append(
            f'<rect x="{i * BAR_WIDTH}" y="{BAR_HEIGHT - height:.1f}" width="{BAR_WIDTH - 1}" height="{height:.1f}">'
            f"<title>{escape(label)}: {count:,} rows</title></rect>"
        )
    return f'<svg width="{len(counts) * BAR_WIDTH}" height="{BAR_HEIGHT}" role="img">{"".join(bars)}</svg>'
