"""KFP interface of the training stage."""

from kfp import dsl

from loopline.components.contract.step import StepFacts


@StepFacts(effects="locations", locations=("tracking",), calls_service=True, gpu=True, shows={"weights": "weights"})
@dsl.component(base_image="loopline-training", install_kfp_package=False)
def train(
    usecase: str,
    tracking: str,
    target: str,
    examples: dsl.Input[dsl.Dataset],
    weights: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Train the use case's model.

    Args:
        usecase: package of the use case.
        tracking: MLflow URI.
        target: pod, to train in the pod of this step, or trainjob.
        examples: training examples.
        weights: trained weights.
        metrics: rows, epochs, held-out loss.
    """
    from pathlib import Path

    from loopline.components.io import digest
    from loopline.components.training.target import train_on

    for name, value in train_on(target, usecase, examples.path, weights.path, tracking).items():
        metrics.log_metric(name, value)
    weights.metadata["digest"] = digest.of_tree(Path(weights.path))


@StepFacts(effects="none")
@dsl.component(base_image="loopline-training", install_kfp_package=False)
def package(
    usecase: str,
    weights: dsl.Input[dsl.Model],
    examples: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
) -> None:
    """Package trained weights as the model that ships.

    Args:
        usecase: package of the use case.
        weights: trained weights.
        examples: rows to check that the graph predicts like the torch module.
        model: ONNX graph, safetensors, signature and Triton repository.
    """
    from loopline.components.training.package import package

    packaged = package(usecase, weights.path, examples.path, model.path)
    model.metadata.update(digest=packaged.digest, name=packaged.name, framework="onnx")
