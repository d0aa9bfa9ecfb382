"""Imports that Feast and KServe make and the service has no use for, skipped: they are most of its start-up time."""

import sys
from typing import Any

# Feast imports torch for feature types; KServe's client imports kubernetes_validate, with a URL grammar, for objects.
UNUSED = ("torch", "kubernetes_validate")


def skip_unused() -> None:
    """Skip the unused imports in this process; call it before Feast or KServe is imported.

    Also turns typeguard into a no-op. Feast lets it rewrite its classes to check the types of all arguments; here they
    are only made from a registry, which Feast itself wrote.
    """
    for name in UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    import typeguard  # noqa: PLC0415 - only Feast brings it

    typeguard.typechecked = _unchanged


def _unchanged(target: Any = None, **_: Any) -> Any:
    """A decorator, with or without arguments, that changes nothing."""
    return _unchanged if target is None else target
