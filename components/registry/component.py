"""The registry stage's steps as KFP components."""

from kfp import dsl

from loopline.components.contract.step import StepFacts


@StepFacts(effects="locations", locations=("registry",), calls_service=True)
@dsl.component(base_image="loopline-registry", install_kfp_package=False)
def register(
    usecase: str,
    registry: str,
    alias: str,
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
) -> str:
    """Register a model, once per content, and point an alias to it.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        registry: MLflow tracking URI.
        alias: candidate or challenger.
        model: the packaged model.
        evaluation: an evaluation of that model.

    Returns:
        the number of the version.
    """
    from loopline.components.registry.register import register

    return str(register(usecase, registry, alias, model.path, evaluation.path))


@StepFacts(effects="none", locations=("registry",), calls_service=True)
@dsl.component(base_image="loopline-registry", install_kfp_package=False)
def fetch_model(usecase: str, registry: str, version: str, model: dsl.Output[dsl.Model]) -> None:
    """Copy a registered model out of the registry and check its digest.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        registry: MLflow tracking URI.
        version: number or alias.
        model: the model as it was registered.
    """
    from loopline.components.registry.fetch import fetch_model

    fetched = fetch_model(usecase, registry, version, model.path)
    model.metadata.update(digest=fetched.digest, name=fetched.name, framework="onnx")


@StepFacts(
    effects="locations",
    locations=("registry",),
    calls_service=True,
    refusals=("kept",),
    reason="receipt",
    shows={"receipt": "promotion"},
)
@dsl.component(base_image="loopline-registry", install_kfp_package=False)
def promote(
    usecase: str,
    registry: str,
    version: str,
    expected_champion: str,
    verdict: dsl.Input[dsl.Artifact],
    receipt: dsl.Output[dsl.Artifact],
    comparison: dsl.Input[dsl.Artifact] = None,
) -> str:
    """Make a version the champion, unless the champion changed since that was decided.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        registry: MLflow tracking URI.
        version: number or alias.
        expected_champion: number of the champion it was compared with; empty if there was none; any for whoever it is.
        verdict: the passed gates of that version.
        receipt: from which version to which, outcome, reason and time.
        comparison: the comparison with that champion; none for the first.

    Returns:
        promoted, or kept: another version is champion by now, and stays.
    """
    import json
    import os
    from pathlib import Path

    from loopline.components.io import digest
    from loopline.components.registry.promote import promote

    outcome = promote(
        usecase,
        registry,
        version,
        expected_champion,
        verdict.path,
        receipt.path,
        comparison_path=comparison.path if comparison else None,
        by=os.environ.get("LOOPLINE_RUN", ""),
    )
    file = Path(receipt.path)
    receipt.metadata.update(
        digest=digest.of_file(file), outcome=outcome, reason=json.loads(file.read_text(encoding="utf-8"))["reason"]
    )
    return outcome


@StepFacts(effects="none", locations=("registry",), always_runs=True, calls_service=True)
@dsl.component(base_image="loopline-registry", install_kfp_package=False)
def find_champion(usecase: str, registry: str, version: str, since: dsl.OutputPath(str)) -> str:  # type: ignore[valid-type]
    """Find the champion, and refuse any other version: only the champion gets traffic.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        registry: MLflow tracking URI.
        version: number, or champion for whichever that is.
        since: when it became champion.

    Returns:
        the number of the version.
    """
    from pathlib import Path

    from loopline.components.contract.usecase import load
    from loopline.components.io import atomic
    from loopline.components.registry.champion import find_champion

    champion = find_champion(load(usecase).spec.name, registry, version)
    atomic.write_text(Path(since), champion.since.isoformat())
    return str(champion.version)


@StepFacts(effects="locations", locations=("registry",), always_runs=True, calls_service=True)
@dsl.component(base_image="loopline-registry", install_kfp_package=False)
def restore_champion(usecase: str, registry: str, record: dsl.Input[dsl.Artifact]) -> str:
    """Make the version champion again that a release rolled back to, unless the champion changed in the meantime.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        registry: MLflow tracking URI.
        record: the record of the release.

    Returns:
        the champion's number if it changed, else nothing.
    """
    import os
    from pathlib import Path

    from loopline.components.contract.dataset import read_manifest
    from loopline.components.contract.release import DECISION_PREFIX, RECORD_FORMAT
    from loopline.components.contract.usecase import load
    from loopline.components.registry.rollback import restore_champion

    released = read_manifest(Path(record.path), RECORD_FORMAT, ("stable", "canary"))
    name, version, stable = load(usecase).spec.name, int(released["canary"]), int(released["stable"])
    if not restore_champion(name, registry, version, stable, by=os.environ.get("LOOPLINE_RUN", "")):
        return ""
    print(f"{DECISION_PREFIX}version {stable} is champion again")
    return str(stable)
