"""What libraries do when they are imported that nothing here has a use for, left out: it is most of a start's time."""

import sys
from typing import Any

# Feast would import torch for types of features, and KServe's client a grammar of URLs to check Kubernetes objects.
UNUSED = ("torch", "kubernetes_validate")


def lighten() -> None:
    """Do without them in this process; to be called before Feast or KServe is imported.

    Feast has typeguard rewrite its classes, so that they check the types of all arguments. Here they are made from a
    registry, where they were written by Feast itself.
    """
    for name in UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    import typeguard  # noqa: PLC0415 - only Feast brings it

    typeguard.typechecked = _as_it_is


def _as_it_is(target: Any = None, **_: Any) -> Any:
    """Stands for a decorator, with or without arguments, that changes nothing."""
    return _as_it_is if target is None else target
