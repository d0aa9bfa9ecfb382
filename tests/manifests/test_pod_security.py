"""The policy `restricted` catches each violation, and admits what violates nothing."""

import copy
from typing import Any

import pytest

from tests.manifests.pod_security import SYSCTLS, VOLUMES, violations

ADMITTED: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "main",
            "image": "image:1",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


def pod(*changes: tuple[str, Any]) -> dict[str, Any]:
    """The admitted pod with some fields set, by path; None removes."""
    changed = copy.deepcopy(ADMITTED)
    for path, value in changes:
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("/"))
        at: Any = changed
        for part in parents:
            at = at[part] if isinstance(part, int) else at.setdefault(part, {})
        if value is None:
            del at[last]
        else:
            at[last] = value
    return changed


CONTAINER = "containers/0/securityContext"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("hostNetwork", True, "hostNetwork"),
        ("hostPID", True, "hostPID"),
        ("hostIPC", True, "hostIPC"),
        ("volumes", [{"name": "v", "hostPath": {"path": "/"}}], "volume v is a hostPath"),
        ("volumes", [{"name": "v", "nfs": {"server": "s"}}], "volume v is a nfs"),
        ("securityContext/sysctls", [{"name": "kernel.msgmax", "value": "1"}], "sysctl kernel.msgmax"),
        ("securityContext/runAsUser", 0, "pod: runs as root"),
        ("securityContext/runAsNonRoot", False, "pod: runAsNonRoot is false"),
        ("securityContext/runAsNonRoot", None, "main: runAsNonRoot is not true"),
        ("securityContext/seccompProfile", None, "main: no seccomp profile"),
        ("securityContext/seccompProfile/type", "Unconfined", "pod: seccomp is unconfined"),
        ("securityContext/appArmorProfile", {"type": "Unconfined"}, "pod: AppArmor is unconfined"),
        ("securityContext/seLinuxOptions", {"type": "spc_t"}, "pod: SELinux options"),
        ("securityContext/seLinuxOptions", {"user": "system_u"}, "pod: SELinux options"),
        ("securityContext/windowsOptions", {"hostProcess": True}, "pod: hostProcess"),
        (f"{CONTAINER}/allowPrivilegeEscalation", True, "main: allowPrivilegeEscalation is not false"),
        (f"{CONTAINER}/allowPrivilegeEscalation", None, "main: allowPrivilegeEscalation is not false"),
        (f"{CONTAINER}/capabilities", None, "main: does not drop ALL capabilities"),
        (f"{CONTAINER}/capabilities/drop", ["NET_RAW"], "main: does not drop ALL capabilities"),
        (f"{CONTAINER}/capabilities/add", ["SYS_ADMIN"], "main: adds capabilities"),
        (f"{CONTAINER}/privileged", True, "main: privileged"),
        (f"{CONTAINER}/runAsUser", 0, "main: runs as root"),
        (f"{CONTAINER}/runAsNonRoot", False, "main: runAsNonRoot is not true"),
        (f"{CONTAINER}/seccompProfile", {"type": "Unconfined"}, "main: seccomp is unconfined"),
        (f"{CONTAINER}/procMount", "Unmasked", "main: procMount"),
        ("containers/0/ports", [{"containerPort": 80, "hostPort": 80}], "main: hostPort"),
        (
            "containers/0/livenessProbe",
            {"httpGet": {"host": "example.com", "port": 1}},
            "main: a probe or hook names a host",
        ),
        (
            "containers/0/lifecycle",
            {"preStop": {"tcpSocket": {"host": "h", "port": 1}}},
            "main: a probe or hook names a host",
        ),
        ("initContainers", [{"name": "init"}], "init: allowPrivilegeEscalation is not false"),
        ("ephemeralContainers", [{"name": "debug"}], "debug: does not drop ALL capabilities"),
    ],
)
def test_each_violation_is_caught(path: str, value: Any, said: str) -> None:
    assert said in violations(pod((path, value)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("nodeName", "any"),
        (f"{CONTAINER}/capabilities/add", ["NET_BIND_SERVICE"]),
        ("securityContext/runAsUser", 65532),
        ("securityContext/seLinuxOptions", {"type": "container_t", "level": "s0"}),
        ("securityContext/sysctls", [{"name": name, "value": "1"} for name in sorted(SYSCTLS)]),
        ("volumes", [{"name": kind.lower(), kind: {}} for kind in sorted(VOLUMES)]),
        ("containers/0/livenessProbe", {"httpGet": {"path": "/health", "port": 1}}),
    ],
)
def test_what_is_allowed_is_admitted(path: str, value: Any) -> None:
    assert violations(pod((path, value))) == []


def test_a_container_may_say_itself_what_the_pod_does_not() -> None:
    own = {**ADMITTED["containers"][0]["securityContext"], **ADMITTED["securityContext"]}
    assert violations(pod(("securityContext", {}), (CONTAINER, own))) == []
