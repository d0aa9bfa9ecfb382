"""Inputs and output of a packaged model: raw features in, one number out; and how Arrow rows become its tensors.

The graph itself does all preprocessing (missing values, unseen categories, scaling). What remains is the conversion
from Arrow to numpy, which is here, once, for training, validation, batch and serving.

Features of a kind are columns of one tensor: the cost of a request grows with the number of tensors, not their width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from loopline.components.contract.examples import Feature
from loopline.components.errors import LooplineError

# A missing category in the tensor; the graph maps it to the id of an unseen one.
MISSING_CATEGORY = ""
# The tensor with the features of a kind.
TENSORS = {"number": "numbers", "category": "categories"}
# The datatype of each tensor in the V2 protocol, and of the output.
DATATYPES = {TENSORS["number"]: "FP32", TENSORS["category"]: "BYTES"}
OUTPUT_DATATYPE = "FP32"
# The name of the server's parameter with the features of each tensor, as JSON: {"numbers": [name, ...], ...}.
COLUMNS = "columns"


@dataclass(frozen=True)
class Signature:
    """Inputs in order and the name of the output: ``probability`` (classification) or ``prediction`` (regression).

    The tensors are ``numbers``, float32 [rows, F], and ``categories``, string [rows, C], with a column for each input
    of that kind, in order; a tensor without columns is left out. The output is float32 [rows, 1].
    """

    inputs: tuple[Feature, ...]
    output: str

    @classmethod
    def for_task(cls, task: str, features: Sequence[Feature]) -> Self:
        """The signature of a model for a task of usecase.yaml."""
        return cls(tuple(features), "probability" if task == "binary_classification" else "prediction")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what `to_json` returned."""
        return cls(tuple(Feature(**feature) for feature in value["inputs"]), value["output"])

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"inputs": [vars(feature) for feature in self.inputs], "output": self.output}

    @property
    def names(self) -> list[str]:
        """Names of the inputs in order."""
        return [feature.name for feature in self.inputs]

    @property
    def columns(self) -> dict[str, list[str]]:
        """The inputs of each tensor."""
        by_kind = {kind: [feature.name for feature in self.inputs if feature.kind == kind] for kind in TENSORS}
        return {TENSORS[kind]: names for kind, names in by_kind.items() if names}

    def tensors(self, rows: pa.Table | pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        """The input tensors for some rows; missing numbers become NaN, missing categories the empty string.

        Raises:
            LooplineError: a feature is absent, or of a type that cannot be read as its kind.
        """
        kinds = {feature.name: feature.kind for feature in self.inputs}
        tensors: dict[str, npt.NDArray[Any]] = {}
        for tensor, names in self.columns.items():
            number = tensor == TENSORS["number"]
            filled = tensors[tensor] = np.empty((rows.num_rows, len(names)), np.float32 if number else object)
            for column, name in enumerate(names):
                filled[:, column] = _column(rows, name, kinds[name])
        return tensors


def _column(rows: pa.Table | pa.RecordBatch, name: str, kind: str) -> npt.NDArray[Any]:
    if name not in rows.schema.names:
        raise LooplineError(
            f"the rows have no column '{name}', which the model takes; they have {', '.join(rows.schema.names)}"
        )
    column = rows.column(name)
    try:
        return _categories(column) if kind == "category" else _numbers(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise LooplineError(f"column '{name}' of type {column.type} cannot be read as a {kind}") from error


def _numbers(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float32]:
    return np.asarray(column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float32)


def _categories(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """Python strings, one object per distinct value: a column has few, and creating objects is the cost."""
    text = column.cast(pa.string())
    encoded = (text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text).dictionary_encode()
    names = np.array([*encoded.dictionary.to_pylist(), MISSING_CATEGORY], dtype=object)
    positions: npt.NDArray[np.int32] = encoded.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
    return np.asarray(names[positions], dtype=object)
