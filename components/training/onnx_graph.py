"""The graph that ships: raw features by name in, probability or prediction out."""

import logging
import warnings
from collections.abc import Sequence

import onnx
import torch
from onnx import TensorProto, compose, helper
from torch import Tensor

from components.contract.examples import Feature
from components.training.columns import UNKNOWN, Columns
from components.training.network import Predictor

OPSET = 18
ML_OPSET = 4
# Names inside the graph; features keep their own names, so these must not be likely ones.
NUMBERS, CATEGORIES = "loopline_numbers", "loopline_categories"


def to_onnx(predictor: Predictor, columns: Columns, output: str) -> onnx.ModelProto:
    """Export a predictor with an input per raw feature: float32 [N, 1], or string [N, 1] for a category.

    Args:
        predictor: in evaluation mode.
        columns: features in order, and the vocabularies that become part of the graph.
        output: name of the output, float32 [N, 1].
    """
    core = _core(predictor, columns, output)
    front = _front(columns, core.ir_version)
    wires = [(name, name) for name in (NUMBERS, CATEGORIES) if name in {given.name for given in core.graph.input}]
    joined = compose.merge_models(front, core, io_map=wires)
    joined.producer_name, joined.doc_string = "loopline", ""
    onnx.checker.check_model(joined, full_check=True)
    return joined


def _core(predictor: Predictor, columns: Columns, output: str) -> onnx.ModelProto:
    """The torch module, exported: [N, F] numbers and [N, C] ids in."""
    sample: tuple[Tensor, Tensor] = (
        torch.zeros(2, len(columns.numbers)),
        torch.zeros(2, len(columns.categories), dtype=torch.int64),
    )
    rows = torch.export.Dim("rows")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            predictor,
            sample,
            dynamo=True,
            opset_version=OPSET,
            input_names=[NUMBERS, CATEGORIES],
            output_names=[output],
            dynamic_shapes=({0: rows}, {0: rows}),
            external_data=False,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - only the old exporter returns None
    model: onnx.ModelProto = program.model_proto
    model.graph.ClearField("value_info")
    for node in model.graph.node:  # traces of the Python source it was exported from
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    return model


def _front(columns: Columns, ir_version: int) -> onnx.ModelProto:
    """Raw features gathered into what the core takes: strings looked up, numbers and ids each side by side."""
    inputs = [helper.make_tensor_value_info(f.name, _type(f), ["rows", 1]) for f in columns.features]
    nodes = [_lookup(feature, columns.vocabularies[feature.name]) for feature in columns.categories]
    outputs = []
    for name, kind, parts in (
        (NUMBERS, TensorProto.FLOAT, [feature.name for feature in columns.numbers]),
        (CATEGORIES, TensorProto.INT64, [_id(feature) for feature in columns.categories]),
    ):
        if parts:
            nodes.append(helper.make_node("Concat", parts, [name], name=f"gather_{name}", axis=1))
            outputs.append(helper.make_tensor_value_info(name, kind, ["rows", len(parts)]))
    graph = helper.make_graph(nodes, "loopline", inputs, outputs)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def _lookup(feature: Feature, vocabulary: Sequence[str]) -> onnx.NodeProto:
    # The operator refuses an empty table; a category that training never saw filled has only the unknown id.
    known = list(vocabulary) or [""]
    ids = list(range(UNKNOWN + 1, len(vocabulary) + 1)) or [UNKNOWN]
    return helper.make_node(
        "LabelEncoder",
        [feature.name],
        [_id(feature)],
        name=f"look_up_{feature.name}",
        domain="ai.onnx.ml",
        keys_strings=known,
        values_int64s=ids,
        default_int64=UNKNOWN,
    )


def _id(feature: Feature) -> str:
    return f"loopline_id_{feature.name}"


def _type(feature: Feature) -> int:
    return int(TensorProto.STRING if feature.kind == "category" else TensorProto.FLOAT)
