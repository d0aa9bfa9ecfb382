"""A model that is deliberately bad, to see that a release catches it: never registered, and named for what it is."""

import shutil
from pathlib import Path

from loopline.components.contract.model import Model, seal
from loopline.components.contract.spec import Task
from loopline.components.io import atomic

# Versions in the registry count from 1; those above are nobody's.
SPOILED = 900
WHAT = {
    "binary_classification": "every probability is its square root",
    "regression": "every prediction is a quarter too high",
}


def spoil(model: Model, task: Task, path: Path) -> Model:
    """Package a model again, with scores that are wrong in a way that no test of the server can see.

    Args:
        model: a good one.
        task: of the use case.
        path: the folder to make.
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
