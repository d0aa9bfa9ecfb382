"""The graph that ships: raw features in, probability or prediction out."""

import json
import logging
import warnings
from collections.abc import Sequence

import onnx
import torch
from onnx import TensorProto, compose, helper
from torch import Tensor

from loopline.components.contract.examples import Feature
from loopline.components.contract.signature import COLUMNS, TENSORS, Signature
from loopline.components.training.columns import UNKNOWN, Columns
from loopline.components.training.network import Predictor

OPSET = 18
ML_OPSET = 4
NUMBERS, CATEGORIES = TENSORS["number"], TENSORS["category"]
IDS = "ids"  # of the categories, inside the graph


def to_onnx(predictor: Predictor, columns: Columns, output: str) -> onnx.ModelProto:
    """Export a predictor with the inputs of `Signature`: numbers, float32 [N, F], and categories, string [N, C].

    The graph's metadata names the features of their columns.

    Args:
        predictor: in evaluation mode.
        columns: features in order, and the vocabularies that become part of the graph.
        output: name of the output, float32 [N, 1].
    """
    graph = _core(predictor, columns, output)
    if columns.categories:
        graph = compose.merge_models(_look_up(columns, graph.ir_version), graph, io_map=[(IDS, IDS)])
    graph.producer_name, graph.doc_string = "loopline", ""
    tensor_columns = Signature(columns.features, output).columns
    helper.set_model_props(graph, {COLUMNS: json.dumps(tensor_columns)})
    onnx.checker.check_model(graph, full_check=True)
    return graph


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
            input_names=[NUMBERS, IDS],
            output_names=[output],
            dynamic_shapes=({0: rows}, {0: rows}),
            external_data=False,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - only the old exporter returns None
    model: onnx.ModelProto = program.model_proto
    model.graph.ClearField("value_info")
    for node in model.graph.node:  # the exporter puts Python source in them
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    return model


def _look_up(columns: Columns, ir_version: int) -> onnx.ModelProto:
    """Maps categories, string [N, C], to ids, int64 [N, C], by the vocabulary of each column."""
    features = columns.categories
    texts = [f"text_{feature.name}" for feature in features]
    nodes = [
        helper.make_node("Split", [CATEGORIES], texts, name="split_categories", axis=1, num_outputs=len(features)),
        *(_lookup(feature, columns.vocabularies[feature.name]) for feature in features),
        helper.make_node("Concat", [_id(feature) for feature in features], [IDS], name="gather_ids", axis=1),
    ]
    given = helper.make_tensor_value_info(CATEGORIES, TensorProto.STRING, ["rows", len(features)])
    found = helper.make_tensor_value_info(IDS, TensorProto.INT64, ["rows", len(features)])
    graph = helper.make_graph(nodes, "loopline", [given], [found])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def _lookup(feature: Feature, vocabulary: Sequence[str]) -> onnx.NodeProto:
    # The operator refuses an empty table; a category that had no value in training has only the unknown id.
    known = list(vocabulary) or [""]
    ids = list(range(UNKNOWN + 1, len(vocabulary) + 1)) or [UNKNOWN]
    return helper.make_node(
        "LabelEncoder",
        [f"text_{feature.name}"],
        [_id(feature)],
        name=f"look_up_{feature.name}",
        domain="ai.onnx.ml",
        keys_strings=known,
        values_int64s=ids,
        default_int64=UNKNOWN,
    )


def _id(feature: Feature) -> str:
    return f"id_{feature.name}"
