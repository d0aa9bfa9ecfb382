"""A packaged model again, with other scores or manners, registered and made champion as if it had passed its gates."""

import shutil

import onnx
from onnx import TensorProto, helper

from loopline.components.contract.evaluation import FILE, Evaluation, Verdict
from loopline.components.contract.model import seal
from loopline.components.registry.promote import promote
from loopline.components.registry.register import register

OUTPUT, HONEST, NUMBERS = "prediction", "honest", "numbers"


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], **attributes)


def twin(signature):
    """The same scores from other bytes."""
    return [node("Identity", [HONEST], OUTPUT)]


def erroring(signature):
    """Fails for each batch with a question of the afternoon: a look-up beyond the end of a table."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [1], [0.0])
    noon = helper.make_tensor("noon", TensorProto.FLOAT, [], [12.0])
    column = helper.make_tensor("column", TensorProto.INT64, [1], [signature.columns[NUMBERS].index("hour_of_day")])
    return [
        node("Constant", [], "table", value=table),
        node("Constant", [], "noon", value=noon),
        node("Constant", [], "column", value=column),
        node("Gather", [NUMBERS, "column"], "hour", axis=1),
        node("Greater", ["hour", "noon"], "late"),
        node("Cast", ["late"], "index", to=TensorProto.INT64),
        node("Gather", ["table", "index"], "found"),
        node("Add", [HONEST, "found"], OUTPUT),
    ]


def slower(signature, size=1500):
    """Takes a tenth of a second longer, or more: numbers multiplied that nobody wants."""
    nothing = helper.make_tensor("nothing", TensorProto.FLOAT, [], [0.0])
    return [
        node("RandomNormal", [], "noise", shape=[size, size], dtype=TensorProto.FLOAT),
        node("MatMul", ["noise", "noise"], "product"),
        node("ReduceMax", ["product"], "most", keepdims=0),
        node("Constant", [], "nothing", value=nothing),
        node("Mul", ["most", "nothing"], "wasted"),
        node("Add", [HONEST, "wasted"], OUTPUT),
    ]


def miscalibrated(signature):
    """Every prediction is a quarter too high."""
    factor = helper.make_tensor("factor", TensorProto.FLOAT, [], [1.25])
    return [node("Constant", [], "factor", value=factor), node("Mul", [HONEST, "factor"], OUTPUT)]


def altered(model, path, nodes):
    """The model with nodes between its output and whoever asks."""
    graph = onnx.load(str(model.onnx))
    for part in graph.graph.node:
        part.output[:] = [HONEST if name == OUTPUT else name for name in part.output]
    graph.graph.node.extend(nodes)
    onnx.checker.check_model(graph)
    shutil.copytree(model.path / "repository", path / "repository")
    (path / model.onnx.relative_to(model.path)).write_bytes(graph.SerializeToString(deterministic=True))
    return seal(path, model.name, model.signature, model.facts, {**model.provenance, "altered": path.name})


def crowned(usecase, registry, model, evaluation, champion, scratch):
    """Register a model under the evaluation of another, and make it champion in that one's place; its version."""
    scratch.mkdir()
    borrowed = Evaluation.model_validate_json((evaluation / FILE).read_bytes())
    (scratch / FILE).write_text(borrowed.model_copy(update={"model": model.digest}).model_dump_json())
    verdict = Verdict(model=model.digest, passed=True, reason="it is made for a test", gates=[])
    (scratch / "verdict.json").write_text(verdict.model_dump_json())
    version = register(usecase, registry, "challenger", model.path, scratch)
    outcome = promote(
        usecase, registry, str(version), str(champion), scratch / "verdict.json", scratch / "receipt.json"
    )
    assert outcome == "promoted"
    return version
