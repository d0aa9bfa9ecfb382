"""What a packaged model takes and gives: raw features in, one number out; and how Arrow rows become its tensors.

The graph itself does all preprocessing (missing values, unseen categories, scaling). What is left is the change of
container from Arrow to numpy, and that is here, once, for training, validation, batch and serving alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.contract.errors import LooplineError
from components.contract.examples import Feature

# What a missing category is called in the tensor; the graph gives it the id of an unseen one.
MISSING_CATEGORY = ""


@dataclass(frozen=True)
class Signature:
    """Inputs in order and the name of the output: ``probability`` (classification) or ``prediction`` (regression).

    Every input is a tensor of shape [rows, 1]: float32 for a number, string for a category. The output is
    float32 [rows, 1].
    """

    inputs: tuple[Feature, ...]
    output: str

    @classmethod
    def for_task(cls, task: str, features: Sequence[Feature]) -> Self:
        """The signature of a model for a task of usecase.yaml."""
        return cls(tuple(features), "probability" if task == "binary_classification" else "prediction")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what `to_json` gave."""
        return cls(tuple(Feature(**feature) for feature in value["inputs"]), value["output"])

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"inputs": [vars(feature) for feature in self.inputs], "output": self.output}

    @property
    def names(self) -> list[str]:
        """Names of the inputs in order."""
        return [feature.name for feature in self.inputs]

    def tensors(self, rows: pa.Table | pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        """The input tensors for some rows; missing numbers become NaN, missing categories the empty string.

        Raises:
            LooplineError: a feature is absent, or of a type that cannot be read as its kind.
        """
        return {feature.name: _tensor(rows, feature) for feature in self.inputs}


def _tensor(rows: pa.Table | pa.RecordBatch, feature: Feature) -> npt.NDArray[Any]:
    if feature.name not in rows.schema.names:
        raise LooplineError(
            f"the rows have no column '{feature.name}', which the model takes; they have {', '.join(rows.schema.names)}"
        )
    column = rows.column(feature.name)
    try:
        values = _categories(column) if feature.kind == "category" else _numbers(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise LooplineError(
            f"column '{feature.name}' of type {column.type} cannot be read as a {feature.kind}"
        ) from error
    return values.reshape(-1, 1)


def _numbers(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float32]:
    return np.asarray(column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float32)


def _categories(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """Python strings, one object per distinct value: a column repeats few, and making an object is what costs."""
    text = column.cast(pa.string())
    encoded = (text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text).dictionary_encode()
    names = np.array([*encoded.dictionary.to_pylist(), MISSING_CATEGORY], dtype=object)
    positions: npt.NDArray[np.int32] = encoded.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
    return np.asarray(names[positions], dtype=object)
