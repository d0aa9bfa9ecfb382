"""The release DAG: the champion gets an endpoint's traffic step by step, and is promoted or rolled back."""

from kfp import dsl

from loopline.components.deployment.component import analyse, canary, finish, render
from loopline.components.registry.component import fetch_model, find_champion, restore_champion


@dsl.pipeline(name="release")
def release(
    usecase: str,
    version: str,
    target: str,
    target_uri: str,
    overlay: str,
    log: str,
    owner: str,
    wait: str,
    registry: str,
) -> None:
    """Release the champion at an endpoint, or continue the release that is under way there.

    Each step reads from the release's record, which the target keeps, what is due; the number of the iteration does
    not matter. If a run is killed or its waiting time ends, the next run continues the release.

    Args:
        usecase: package of the use case, for example loopline.usecases.flights.
        version: number of the champion, or "champion".
        target: where the traffic is shifted: local, git or cluster.
        target_uri: for local the state dir of a running endpoint; for git a clone or the address of a repository.
        overlay: for git, the name of a folder in kustomize/overlays.
        log: URI of the endpoint's prediction log.
        owner: of the release; runs of the same owner continue each other's releases.
        wait: seconds that the run waits for evidence at most; empty for no limit.
        registry: MLflow URI of the model registry.
    """
    champion = find_champion(usecase=usecase, registry=registry, version=version).outputs
    model = fetch_model(usecase=usecase, registry=registry, version=champion["Output"]).outputs["model"]
    rendered = render(
        usecase=usecase,
        version=version,
        champion=champion["Output"],
        since=champion["since"],
        target=target,
        target_uri=target_uri,
        overlay=overlay,
        log=log,
        owner=owner,
        wait=wait,
        model=model,
    ).outputs
    with dsl.ParallelFor(rendered["Output"], name="steps", parallelism=1) as percent:
        shifted = canary(percent=percent, plan=rendered["plan"])
        analysed = analyse(percent=percent, plan=rendered["plan"]).after(shifted)
    ended = finish(decisions=dsl.Collected(analysed.outputs["Output"]), plan=rendered["plan"]).outputs
    with dsl.If(ended["Output"] == "rolled back", name="rolled-back"):
        restore_champion(usecase=usecase, registry=registry, record=ended["record"])
