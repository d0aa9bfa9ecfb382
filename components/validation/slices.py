"""Metrics on parts of the data: the rows with one value of one column."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loopline.components.contract.evaluation import Slice
from loopline.components.validation.metrics import measure
from loopline.components.validation.weighted_metrics import Floats

# Of a column with more values than this, only the largest slices are kept.
LARGEST = 50
MISSING = "(missing)"


def slices(column: pa.ChunkedArray, name: str, task: str, label: Floats, score: Floats, least: int) -> list[Slice]:
    """Metrics per value of a column, in the order of its values, at most `LARGEST` of them, the largest.

    Args:
        column: values, [rows]; a missing one is a value too.
        name: the column's name.
        task: ``binary_classification`` or ``regression``.
        label: float64 [rows].
        score: float64 [rows].
        least: a slice with fewer rows is not judged.
    """
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    rows = np.bincount(codes, minlength=len(encoded.dictionary))
    in_order = pc.sort_indices(encoded.dictionary).to_numpy()
    largest = set(in_order[np.argsort(-rows[in_order], kind="stable")][:LARGEST].tolist())
    values = encoded.dictionary.cast(pa.string()).to_pylist()
    found = []
    for code in in_order:
        if code not in largest:
            continue
        inside = codes == code
        found.append(
            Slice(
                column=name,
                value=MISSING if values[code] is None else values[code],
                rows=int(rows[code]),
                judged=bool(rows[code] >= least),
                metrics=measure(task, label[inside], score[inside]),
            )
        )
    return found
