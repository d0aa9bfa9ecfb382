"""The steps of a release as KFP components."""

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
    """Check everything that can be checked in advance, then begin a release or find the current one.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        version: number of the champion, or "champion"; with "champion", a release under way is continued first.
        champion: number of the champion.
        since: ISO time since when it is champion.
        target: local, git or cluster.
        target_uri: for local the state dir of a running endpoint; for git a clone or the address of a repository.
        overlay: for git, the name of a folder in kustomize/overlays.
        log: URI of the endpoint's prediction log.
        owner: of the release; another owner may take it over ten minutes after its last change.
        wait: seconds that the run waits for evidence at most; empty for no limit.
        model: the champion's package.
        service: the InferenceService after the first action that is due.
        plan: what the other steps need to know.

    Returns:
        percent of the traffic for each remaining step.
    """
    import os

    from loopline.components.contract.environment_policy import VARIABLE, EnvironmentPolicy
    from loopline.components.deployment import steps
    from loopline.components.deployment.release.plan import Plan, known_target

    complete = steps.render(
        requested=version,
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
    complete.write(plan.path)
    plan.metadata.update(version=complete.version, state=complete.state)
    return steps.remaining_steps(complete)


@StepFacts(effects="outside", calls_service=True)
@dsl.component(base_image="loopline-deployment", install_kfp_package=False)
def canary(percent: str, plan: dsl.Input[dsl.Artifact]) -> str:
    """Give the canary its share of the traffic, if the record of the release says that a shift is due.

    Args:
        percent: of the traffic in this iteration; shown only, since the record says what is due.
        plan: of this run.

    Returns:
        what was done.
    """
    from loopline.components.deployment import steps
    from loopline.components.deployment.release.plan import Plan

    done = steps.canary(Plan.read(plan.path))
    print(f"progress: step of {percent}%: {done}")
    return done


@StepFacts(effects="outside", calls_service=True, refusals=("roll back",), reason="decision")
@dsl.component(base_image="loopline-deployment", install_kfp_package=False)
def analyse(percent: str, plan: dsl.Input[dsl.Artifact], decision: dsl.Output[dsl.Markdown]) -> str:
    """Analyse the current step until it is decided, and roll a canary back that is shown to be worse.

    Args:
        percent: of the traffic in this iteration; shown only, since the record says what is due.
        plan: of this run.
        decision: the decision with its reason and numbers.

    Returns:
        advance, wait, roll back, or that nothing was due.
    """
    from loopline.components.deployment import steps
    from loopline.components.deployment.release.plan import Plan

    outcome = steps.analyse(Plan.read(plan.path), decision.path)
    print(f"progress: step of {percent}%: {outcome}")
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
    """Promote the canary if every step passed, and write the record of the release.

    Args:
        decisions: outcomes of the steps; the record has them too.
        plan: of this run.
        record: every decision, and every action that was applied.
        page: the record as Markdown.
        metrics: requests of both versions, and by how much the canary was worse.

    Returns:
        promoted, rolled back, under way, or serves already.
    """
    from loopline.components.deployment import steps
    from loopline.components.deployment.release.plan import Plan

    print(f"decisions: {', '.join(decisions)}")
    outcome, numbers = steps.finish(Plan.read(plan.path), record.path, page.path)
    for name, value in numbers.items():
        metrics.log_metric(name, value)
    record.metadata.update(outcome=outcome)
    return outcome
