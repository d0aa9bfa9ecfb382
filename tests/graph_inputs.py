"""The inputs of a hand-made graph: tensors as a packaged model takes them, split into a value for each feature."""

import json
from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

from loopline.components.contract.examples import Feature
from loopline.components.contract.signature import COLUMNS, TENSORS, Signature


def inputs_of(features: Sequence[Feature]) -> tuple[list[onnx.ValueInfoProto], list[onnx.NodeProto]]:
    """The graph's inputs, and the nodes after which each feature stands, [rows, 1], under its own name."""
    kinds = {TENSORS["number"]: TensorProto.FLOAT, TENSORS["category"]: TensorProto.STRING}
    columns = Signature(tuple(features), "").columns
    inputs = [helper.make_tensor_value_info(name, kinds[name], [None, len(held)]) for name, held in columns.items()]
    nodes = [
        helper.make_node("Split", [name], held, axis=1, num_outputs=len(held), name=f"split_{name}")
        for name, held in columns.items()
    ]
    return inputs, nodes


def tell_columns(graph: onnx.ModelProto, features: Sequence[Feature]) -> None:
    """Say in the graph's metadata which features its tensors hold, as a package does."""
    helper.set_model_props(graph, {COLUMNS: json.dumps(Signature(tuple(features), "").columns)})
