"""Inputs as they may arrive in production: feature views missing, features shifted."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from loopline.components.contract.examples import Feature
from loopline.components.contract.gates import Scenario
from loopline.components.errors import LooplineError


def perturbed(rows: pa.Table, scenario: Scenario, features: Sequence[Feature]) -> pa.Table:
    """The rows as a scenario changes them.

    ``missing`` empties a feature, or all features of a view. ``shift`` adds so many standard deviations, taken over
    these rows; a missing value stays missing.

    Raises:
        LooplineError: the scenario names neither a view nor a feature, or shifts a category.
    """
    for name in _missing(scenario, features):
        rows = _replaced(rows, name, pa.nulls(len(rows), rows.schema.field(name).type))
    for name, deviations in scenario.shift.items():
        numbers = [feature.name for feature in features if feature.kind == "number"]
        if name not in numbers:
            raise LooplineError(
                f"scenario '{scenario.name}' shifts '{name}', which is no number among the features; "
                f"these are: {', '.join(numbers)}"
            )
        values = rows.column(name).cast(pa.float64(), safe=False).to_numpy()
        present = values[~np.isnan(values)]
        shifted = values + deviations * (present.std() if present.size else 0.0)
        rows = _replaced(rows, name, pa.array(shifted, from_pandas=True))
    return rows


def _missing(scenario: Scenario, features: Sequence[Feature]) -> list[str]:
    views = dict.fromkeys(feature.view for feature in features if feature.view)
    names = [feature.name for feature in features]
    for name in scenario.missing:
        if name not in views and name not in names:
            raise LooplineError(
                f"scenario '{scenario.name}' empties '{name}', which is neither a feature view ({', '.join(views)}) "
                f"nor a feature ({', '.join(names)})"
            )
    return [f.name for f in features if f.name in scenario.missing or f.view in scenario.missing]


def _replaced(rows: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), name, column)
