"""Connect to the target that a plan names."""

from pathlib import Path

from loopline.components.deployment.release.plan import Plan, expect_target_uri
from loopline.components.deployment.release.target import Target
from loopline.components.errors import LooplineError


def connect(plan: Plan, endpoint: str) -> Target:
    """Connect to the target of a plan.

    Args:
        plan: of the run.
        endpoint: name of the use case; its objects in Kubernetes have dashes where it has underscores.

    Raises:
        LooplineError: there is no such endpoint, clone or cluster.
    """
    in_kubernetes = endpoint.replace("_", "-")
    if plan.target == "cluster":
        from loopline.components.deployment.targets.cluster import ClusterTarget  # noqa: PLC0415 - each is heavy in its own way

        return ClusterTarget.connect(in_kubernetes)
    expect_target_uri(plan.target, plan.target_uri)
    if plan.target == "git":
        from loopline.components.deployment.targets.git import GitTarget  # noqa: PLC0415
        from loopline.components.deployment.targets.git_clone import working_tree  # noqa: PLC0415

        return GitTarget(working_tree(plan.target_uri), plan.overlay, in_kubernetes)
    from loopline.components.deployment.targets.local import LocalTarget  # noqa: PLC0415
    from loopline.components.deployment.targets.local_endpoint import LocalEndpoint  # noqa: PLC0415
    from loopline.components.deployment.targets.state_dir import StateDir  # noqa: PLC0415

    running = LocalEndpoint(StateDir(Path(plan.target_uri)), endpoint)
    if running.status() is None:
        raise LooplineError(f"no endpoint of {endpoint} runs here; start it with `loopline serve`, then release")
    return LocalTarget(running)
