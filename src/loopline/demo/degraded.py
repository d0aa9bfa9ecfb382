"""A deliberately degraded model, to show that a release catches it. It is never registered, and its facts say so."""

import shutil
from pathlib import Path

from loopline.components.contract.model import Model, seal
from loopline.components.contract.spec import Task
from loopline.components.io import atomic

# Added to the number of the model that is degraded; the registry counts from 1 and never gets this far.
DEGRADED = 900
WHAT = {
    "binary_classification": "every probability is its square root",
    "regression": "every prediction is a quarter too high",
}


def degrade(model: Model, task: Task, path: Path) -> Model:
    """Package a copy of a model whose scores are wrong, although the server loads and answers as before.

    Args:
        model: the model to copy.
        task: of the use case.
        path: folder to create.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = onnx.load(str(model.onnx))
    output = model.signature.output
    for node in graph.graph.node:
        node.output[:] = ["loopline_honest" if name == output else name for name in node.output]
    if task == "binary_classification":
        graph.graph.node.append(helper.make_node("Sqrt", ["loopline_honest"], [output]))
    else:
        graph.graph.initializer.append(helper.make_tensor("loopline_factor", TensorProto.FLOAT, [], [1.25]))
        graph.graph.node.append(helper.make_node("Mul", ["loopline_honest", "loopline_factor"], [output]))
    onnx.checker.check_model(graph)
    with atomic.new_folder(path) as folder:
        shutil.copytree(model.path / "repository", folder / "repository")
        file = folder / model.onnx.relative_to(model.path)
        file.write_bytes(graph.SerializeToString(deterministic=True))
        seal(folder, model.name, model.signature, {**model.facts, "deliberately_bad": WHAT[task]}, model.provenance)
    return Model.open(path)
