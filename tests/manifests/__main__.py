"""``make manifests``: what each overlay holds, and what is wrong with it, as a table."""

import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.manifests.findings import RULES
from tests.manifests.pods import pods_of
from tests.manifests.render import OVERLAYS, clean_copy, render


def main() -> int:
    """Print the table, and every finding below it; 1 if there is one."""
    table = Table("overlay", "objects", "kinds", "pod templates", *RULES)
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        copy = clean_copy(Path(folder))
        for overlay in OVERLAYS:
            objects = render(copy / "kustomize/overlays" / overlay)
            by_rule = {name: list(rule(objects)) for name, rule in RULES.items()}
            found += [f"{overlay}: {name}: {text}" for name, texts in by_rule.items() for text in texts]
            kinds = {item["kind"] for item in objects}
            pods = [pod for item in objects for pod in pods_of(item)]
            counts = (*map(len, (objects, kinds, pods)), *map(len, by_rule.values()))
            table.add_row(overlay, *map(str, counts))
    console = Console()
    console.print(table)
    for text in found:
        console.print(text, markup=False)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
