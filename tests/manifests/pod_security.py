"""The profile `restricted` of the Kubernetes Pod Security Standards, as admission applies it to a pod's spec."""

from collections.abc import Iterator
from typing import Any

VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})


def violations(pod: dict[str, Any]) -> list[str]:
    """What `restricted` refuses in a pod's spec, one phrase each; empty if it is admitted."""
    security = pod.get("securityContext") or {}
    found = [*_of_host(pod), *_of_context(security, "pod"), *_of_volumes(pod)]
    found += [f"sysctl {item['name']}" for item in security.get("sysctls", []) if item["name"] not in SYSCTLS]
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(group) or []:
            found += _of_container(container, security)
    return found


def _of_host(pod: dict[str, Any]) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield field


def _of_volumes(pod: dict[str, Any]) -> Iterator[str]:
    for volume in pod.get("volumes") or []:
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"volume {volume['name']} is a {kind}"


def _of_context(security: dict[str, Any], where: str) -> Iterator[str]:
    """What a pod and a container may not say, be it inherited or not."""
    if security.get("runAsNonRoot") is False:
        yield f"{where}: runAsNonRoot is false"
    if security.get("runAsUser") == 0:
        yield f"{where}: runs as root"
    if (security.get("seccompProfile") or {}).get("type") == "Unconfined":
        yield f"{where}: seccomp is unconfined"
    if (security.get("appArmorProfile") or {}).get("type") == "Unconfined":
        yield f"{where}: AppArmor is unconfined"
    if (security.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{where}: hostProcess"
    selinux = security.get("seLinuxOptions") or {}
    if selinux.get("type", "") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{where}: SELinux options"


def _of_container(container: dict[str, Any], inherited: dict[str, Any]) -> Iterator[str]:
    name, own = container["name"], container.get("securityContext") or {}
    capabilities = own.get("capabilities") or {}
    yield from _of_context(own, name)
    if own.get("privileged"):
        yield f"{name}: privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation is not false"
    if "ALL" not in (capabilities.get("drop") or []):
        yield f"{name}: does not drop ALL capabilities"
    if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield f"{name}: adds capabilities"
    if not own.get("runAsNonRoot", inherited.get("runAsNonRoot")):
        yield f"{name}: runAsNonRoot is not true"
    if not (own.get("seccompProfile") or inherited.get("seccompProfile")):
        yield f"{name}: no seccomp profile"
    if own.get("procMount", "Default") != "Default":
        yield f"{name}: procMount"
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield f"{name}: hostPort"
    if any(_hosts(container)):
        yield f"{name}: a probe or hook names a host"


def _hosts(container: dict[str, Any]) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(probe) for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
    for handler in [*handlers, *lifecycle.values()]:
        for action in ("httpGet", "tcpSocket"):
            yield ((handler or {}).get(action) or {}).get("host", "")
