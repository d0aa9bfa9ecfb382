"""The profile of a batch as a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from loopline.components.pages.data_tables import column_rows, sample
from loopline.components.pages.page import render

TEMPLATES = Path(__file__).with_name("templates")
SAMPLE_ROWS = 20


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
        profile: by table ``rows_in``, ``rows_out``, ``rows_quarantined`` and ``columns`` (see `profile_table`).
        reasons: by table, rows by reason.
        quarantined: by table, the bad rows with their reasons.
        broken: the expectations that the batch breaks, if any.
    """
    tables = [
        {
            **table,
            "name": name,
            "columns": column_rows(table["columns"], hints=True),
            "reasons": reasons.get(name, {}),
            "sample": sample(quarantined[name].slice(0, SAMPLE_ROWS)) if table["rows_quarantined"] else None,
        }
        for name, table in profile.items()
    ]
    return render(TEMPLATES, "profile.html.j2", title=title, tables=tables, failed=broken)
