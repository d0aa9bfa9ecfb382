"""The deployment stage's steps as KFP components."""

from kfp import dsl

from loopline.components.contract.step import StepFacts


@StepFacts(effects="outside", calls_service=True)
@dsl.component(base_image="loopline-deployment", install_kfp_package=False)
def render(
    usecase: str,
    version: str,
    champion: str,
    since: str,
    target: str,
    target_uri: str,
    overlay: str,
    log: str,
    owner: str,
    wait: str,
    model: dsl.Input[dsl.Model],
    service: dsl.Output[dsl.Artifact],
    plan: dsl.Output[dsl.Artifact],
) -> list[str]:
    """Check all that can be checked, and begin the release, or find the one that is under way.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        version: number, or champion for whichever that is; then a release that is under way comes first.
        champion: number of the champion.
        since: moment since which it is champion.
        target: local, git or cluster.
        target_uri: folder of a running endpoint for local; a clone, or the address of a repository, for git.
        overlay: a folder in kustomize/overlays, for git.
        log: where the endpoint's prediction log is.
        owner: whose release it is; another may take it over after ten minutes of silence.
        wait: seconds that the run waits for evidence at most; empty for as long as it takes.
        model: the champion's package.
        service: the InferenceService of what is due first.
        plan: what the other steps need to know.

    Returns:
        percent of the traffic in each step that is left.
    """
    import os

    from loopline.components.contract.environment_policy import VARIABLE, EnvironmentPolicy
    from loopline.components.deployment import steps
    from loopline.components.deployment.release.plan import Plan, known_target

    found = steps.render(
        asked=version,
        champion=champion,
        since=since,
        wait=wait,
        plan=Plan(
            usecase=usecase, target=known_target(target), target_uri=target_uri, overlay=overlay, log=log, owner=owner
        ),
        model=model.path,
        service_file=service.path,
        policy=EnvironmentPolicy.parse(os.environ.get(VARIABLE, "")),
    )
    found.write(plan.path)
    plan.metadata.update(version=found.version, found=found.found)
    return steps.steps_left(found)


@StepFacts(effects="outside", calls_service=True)
@dsl.component(base_image="loopline-deployment", install_kfp_package=False)
def canary(percent: str, plan: dsl.Input[dsl.Artifact]) -> str:
    """Give the canary the traffic of the step that is due.

    Args:
        percent: of the traffic; the record says whether it is this step's turn.
        plan: of this run.

    Returns:
        what was done.
    """
    from loopline.components.deployment import steps
    from loopline.components.deployment.release.plan import Plan

    done = steps.canary(Plan.read(plan.path))
    print(f"progress: at the turn of {percent}%: {done}")
    return done


@StepFacts(effects="outside", calls_service=True, refusals=("roll back",), reason="decision")
@dsl.component(base_image="loopline-deployment", install_kfp_package=False)
def analyse(percent: str, plan: dsl.Input[dsl.Artifact], decision: dsl.Output[dsl.Markdown]) -> str:
    """Look at the step under way until it is decided; what is shown to be worse is rolled back.

    Args:
        percent: of the traffic; the record says whether it is this step's turn.
        plan: of this run.
        decision: what was decided, why, and on what numbers.

    Returns:
        advance, wait, roll back, or that nothing was due.
    """
    from loopline.components.deployment import steps
    from loopline.components.deployment.release.plan import Plan

    outcome = steps.analyse(Plan.read(plan.path), decision.path)
    print(f"progress: at the turn of {percent}%: {outcome}")
    return outcome


@StepFacts(effects="outside", calls_service=True, refusals=("rolled back",), reason="page")
@dsl.component(base_image="loopline-deployment", install_kfp_package=False)
def finish(
    decisions: list[str],
    plan: dsl.Input[dsl.Artifact],
    record: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Promote if every step passed, and write down how the release stands.

    Args:
        decisions: what the steps came to; the record has them too.
        plan: of this run.
        record: every decision and what was carried out.
        page: the same for people.
        metrics: requests of both versions, and by how much the canary was worse.

    Returns:
        promoted, rolled back, under way, or serves already.
    """
    from loopline.components.deployment import steps
    from loopline.components.deployment.release.plan import Plan

    print(f"the steps came to: {', '.join(decisions)}")
    outcome, numbers = steps.finish(Plan.read(plan.path), record.path, page.path)
    for name, value in numbers.items():
        metrics.log_metric(name, value)
    record.metadata.update(outcome=outcome)
    return outcome
