"""The release DAG: the champion takes over an endpoint's traffic step by step, or is rolled back."""

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
    """Release the champion at an endpoint, or go on with the release that is under way there.

    What is due is told by the record at the target, not by the number of an iteration. A run that is killed, or whose
    time is up, is gone on with by the next.

    Args:
        usecase: package of the use case, for example loopline.usecases.flights.
        version: number of the champion, or champion for whichever that is.
        target: where the traffic is moved: local, git or cluster.
        target_uri: folder of a running endpoint for local; a clone, or the address of a repository, for git.
        overlay: a folder in kustomize/overlays, for git.
        log: where the endpoint's prediction log is.
        owner: whose release it is; runs of the same owner go on with each other's.
        wait: seconds that the run waits for evidence at most; empty for as long as it takes.
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
