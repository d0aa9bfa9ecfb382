"""Models as small as can be, packaged."""

import onnx
import pyarrow as pa
from onnx import TensorProto, helper

from loopline.components.contract.examples import Feature
from loopline.components.contract.model import seal
from loopline.components.contract.signature import Signature


def model(folder, task, name="temperature", steepness=1.0):
    """A packaged model of one number: the sigmoid of its multiple, or the multiple itself."""
    signature = Signature.for_task(task, (Feature("x", "number"),))
    (tensor,) = signature.tensors(pa.table({"x": [0.0]}))
    last = "Sigmoid" if task == "binary_classification" else "Identity"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in (tensor, signature.output)]
    nodes = [helper.make_node("Mul", [tensor, "by"], ["y"]), helper.make_node(last, ["y"], [signature.output])]
    by = helper.make_tensor("by", TensorProto.FLOAT, [], [steepness])
    graph = helper.make_model(
        helper.make_graph(nodes, "small", ends[:1], ends[1:], [by]), opset_imports=[helper.make_opsetid("", 18)]
    )
    graph.ir_version = 10
    file = folder / "repository" / name / "1" / "model.onnx"
    file.parent.mkdir(parents=True)
    onnx.save(graph, file)
    return seal(folder, name, signature, {"task": task})
