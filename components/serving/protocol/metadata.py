"""What a client needs to know of the served model: its name, version, fields and output."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loopline.components.serving.protocol import v2_outputs
from loopline.components.serving.protocol.fields import Field
from loopline.components.serving.protocol.tensor import FIELD_DATATYPES


@dataclass(frozen=True)
class ModelMetadata:
    """The served model, as its clients see it.

    Attributes:
        name: of the model. ``version``: its version in the registry.
        description: of the use case.
        output: what a score is: ``probability`` or ``prediction``.
        fields: of a request, by name.
    """

    name: str
    version: str
    description: str
    output: str
    fields: Mapping[str, Field]

    def to_v2(self) -> dict[str, Any]:
        """The model metadata response of the V2 protocol."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": "loopline",
            "inputs": [
                {"name": name, "datatype": FIELD_DATATYPES[field.type][0], "shape": [-1, 1]}
                for name, field in self.fields.items()
            ],
            "outputs": [
                {"name": name, "datatype": datatype, "shape": [-1, 1]}
                for name, datatype in v2_outputs.datatypes(self.output).items()
            ],
        }
