"""From examples to tensors: numbers as they are, categories as ids of a vocabulary learned from the training rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from loopline.components.contract.examples import LABEL, Feature
from loopline.components.contract.signature import TENSORS, Signature
from loopline.components.errors import LooplineError

# The id of a category that training has not seen, and of a missing value.
UNKNOWN = 0


@dataclass(frozen=True)
class Columns:
    """Which features a network takes, and the known values of each categorical one (their ids count from 1)."""

    features: tuple[Feature, ...]
    vocabularies: Mapping[str, tuple[str, ...]]

    @classmethod
    def learn(cls, features: Sequence[Feature], rows: pa.Table) -> "Columns":
        """Learn the vocabularies from training rows."""
        known = {
            feature.name: tuple(sorted(value for value in pc.unique(rows[feature.name]).to_pylist() if value))
            for feature in features
            if feature.kind == "category"
        }
        return cls(tuple(features), known)

    @property
    def numbers(self) -> list[Feature]:
        """The numeric features, in order."""
        return [feature for feature in self.features if feature.kind == "number"]

    @property
    def categories(self) -> list[Feature]:
        """The categorical features, in order."""
        return [feature for feature in self.features if feature.kind == "category"]

    @property
    def cardinalities(self) -> list[int]:
        """Number of ids of each categorical feature, the unknown one included."""
        return [len(self.vocabularies[feature.name]) + 1 for feature in self.categories]

    def tensors(self, rows: pa.Table) -> tuple[Tensor, Tensor]:
        """Numbers, float32 [rows, F] with NaN where missing; categories, int64 [rows, C]."""
        raw = Signature(self.features, "").tensors(rows)
        ids = [self._ids(feature, rows) for feature in self.categories]
        empty = np.empty((rows.num_rows, 0))
        return (
            torch.from_numpy(raw.get(TENSORS["number"], empty.astype(np.float32))),
            torch.from_numpy(np.stack(ids, axis=1) if ids else empty.astype(np.int64)),
        )

    def _ids(self, feature: Feature, rows: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        vocabulary = pa.array(self.vocabularies[feature.name], pa.string())
        found = pc.index_in(rows[feature.name].cast(pa.string()), value_set=vocabulary)
        ids = pc.add(pc.fill_null(found.cast(pa.int64()), UNKNOWN - 1), 1)
        return np.asarray(ids.to_numpy(), dtype=np.int64)


@dataclass(frozen=True)
class TrainingRows:
    """Labelled rows, oldest first: numbers [N, F], categories [N, C], labels float32 [N]."""

    numbers: Tensor
    categories: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: slice | Tensor) -> "TrainingRows":
        """Some of the rows, by slice or mask."""
        return TrainingRows(self.numbers[rows], self.categories[rows], self.labels[rows])


def labelled_in_time_order(examples: pa.Table, timestamp: str) -> pa.Table:
    """The rows that have a label, oldest first (stable).

    Raises:
        LooplineError: none has.
    """
    rows = examples.filter(pc.is_valid(examples[LABEL]))
    if rows.num_rows == 0:
        raise LooplineError(
            "no example has a label, so there is nothing to train on; is the label known by the window's end?"
        )
    order = np.argsort(rows[timestamp].cast(pa.int64()).to_numpy(), kind="stable")
    return rows.take(pa.array(order))


def labels_of(rows: pa.Table) -> Tensor:
    """The labels, float32 [rows]."""
    return torch.from_numpy(rows[LABEL].to_numpy().astype(np.float32))
