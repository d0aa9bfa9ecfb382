"""Bills of materials: what is in each image, as CycloneDX."""

import json
import re
from pathlib import Path
from typing import Any

from loopline import project
from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.images import catalogue
from loopline.images.builder import Builder
from loopline.images.catalogue import Image

INVENTORY_SCRIPT = Path(__file__).with_name("contents.py")


def write_sbom(builder: Builder, image: Image, folder: Path) -> tuple[Path, int]:
    """Write the bill of materials of an image.

    Args:
        builder: runs the image.
        image: which; as the code is now.
        folder: takes ``<name>.cdx.json``.

    Returns:
        the file, and how many components it lists.

    Raises:
        LooplineError: the image is not built.
    """
    reference = catalogue.reference(image)
    if not builder.has(reference):
        raise LooplineError(f"{reference} is not built; run `make images` first")
    inventory = json.loads(builder.run(reference, ["python3", "-c", INVENTORY_SCRIPT.read_text(encoding="utf-8")]))
    document = bill_of_materials(reference, inventory)
    path = folder / f"{image.repository}.cdx.json"
    atomic.write_text(path, json.dumps(document, indent=1) + "\n")
    return path, len(document["components"])


def bill_of_materials(reference: str, inventory: dict[str, Any]) -> dict[str, Any]:
    """A CycloneDX document about an image.

    Args:
        reference: its name and tag.
        inventory: what contents.py printed in it: Python's version, Python packages and Debian packages.

    Raises:
        LooplineError: what came out is not valid CycloneDX.
    """
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    components = [_component("python", inventory["python"], "pkg:generic/python@{}", "application")]
    for name, version, license_expression in inventory["packages"]:
        # As PyPI has it: https://packaging.python.org/en/latest/specifications/name-normalization/
        normal = re.sub(r"[-_.]+", "-", name).lower()
        components.append(_component(name, version, f"pkg:pypi/{normal}@{{}}", "library", license_expression))
    for name, version, architecture in inventory["debian"]:
        components.append(_component(name, version, f"pkg:deb/debian/{name}@{{}}?arch={architecture}", "library"))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": reference,
                "name": reference.partition(":")[0],
                "version": reference.partition(":")[2],
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
            "properties": [{"name": "loopline:version", "value": project.version()}],
        },
        "components": components,
    }
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))
    if problem:
        raise LooplineError(
            f"the bill of materials of {reference} is not valid CycloneDX: {str(problem).splitlines()[0]}"
        )
    return document


def _component(name: str, version: str, purl: str, kind: str, license_expression: str = "") -> dict[str, Any]:
    # In a package URL these two characters of Debian's versions have a meaning of their own.
    identity = purl.format(version.replace("+", "%2B").replace(":", "%3A"))
    component: dict[str, Any] = {"type": kind, "bom-ref": identity, "name": name, "version": version, "purl": identity}
    if license_expression:
        component["licenses"] = [{"expression": license_expression}]
    return component
