"""Which target a plan means."""

from pathlib import Path

from loopline.components.deployment.plan import Plan, expect_place
from loopline.components.deployment.target import Target
from loopline.components.errors import LooplineError


def target_of(plan: Plan, endpoint: str) -> Target:
    """The target of a plan.

    Args:
        plan: names it.
        endpoint: name of the endpoint.

    Raises:
        LooplineError: there is no such endpoint, clone or cluster.
    """
    if plan.target == "cluster":
        from loopline.components.deployment.cluster_target import ClusterTarget  # noqa: PLC0415 - each is heavy in its own way

        return ClusterTarget.connect(endpoint)
    expect_place(plan.target, plan.place)
    if plan.target == "git":
        from loopline.components.deployment.git_clone import cloned  # noqa: PLC0415
        from loopline.components.deployment.git_target import GitTarget  # noqa: PLC0415

        return GitTarget(cloned(plan.place), plan.overlay, endpoint)
    from loopline.components.deployment.endpoint_place import Place  # noqa: PLC0415
    from loopline.components.deployment.local_endpoint import LocalEndpoint  # noqa: PLC0415
    from loopline.components.deployment.local_target import LocalTarget  # noqa: PLC0415

    running = LocalEndpoint(Place(Path(plan.place)), endpoint)
    if running.status() is None:
        raise LooplineError(f"no endpoint of {endpoint} runs here; start it with `loopline serve`, then release")
    return LocalTarget(running)
