"""Strict JSON schemas from the CRDs of the pinned upstream releases; ``make schemas`` downloads and converts them.

A CRD's schema says which fields there are, but not that there are no others: the API server drops those in silence.
Here they are refused, so that a misspelt field is found.
"""

import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from tests.manifests import schemas
from tests.manifests.render import PROJECT

VERSIONS = PROJECT / "manifests/upstream/versions.yaml"
# Sizes of numbers, which JSON Schema has no words for.
NUMBER_FORMATS = frozenset({"int32", "int64", "float", "double", "byte", "password"})
BRANCHES = ("oneOf", "anyOf", "allOf")
TIMEOUT = 60


def strict(schema: dict[str, Any], *, branch: bool = False) -> dict[str, Any]:
    """A structural schema of a CRD as a JSON schema that refuses unknown fields.

    Args:
        schema: as it stands in the CRD.
        branch: whether it is one of several that are all about the same value, of which none names all fields.
    """
    done = {key: value for key, value in schema.items() if key != "description"}
    if done.get("format") in NUMBER_FORMATS:
        del done["format"]
    if done.get("x-kubernetes-int-or-string"):
        done.pop("anyOf", None)
        done["type"] = ["integer", "string"]
    if "properties" in done:
        done["properties"] = {name: strict(part, branch=branch) for name, part in done["properties"].items()}
        is_open = branch or done.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in done
        if not is_open:
            done["additionalProperties"] = False
    for key in ("items", "additionalProperties", "not"):
        if isinstance(done.get(key), dict):
            done[key] = strict(done[key], branch=branch or key == "not")
    for key in BRANCHES:
        if key in done:
            done[key] = [strict(part, branch=True) for part in done[key]]
    return done


def of_crd(crd: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schema of each served version of a CRD, with its path ``<group>/<kind>_<version>.json``."""
    spec = crd["spec"]
    for version in spec["versions"]:
        if version.get("served") and "openAPIV3Schema" in version.get("schema", {}):
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema.setdefault("properties", {}).update(
                apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"type": "object"}
            )
            yield (
                f"{spec['group']}/{spec['names']['kind'].lower()}_{version['name']}.json",
                {
                    **schema,
                    "type": "object",
                    "additionalProperties": False,
                },
            )


def write(text: str, folder: Path) -> list[str]:
    """Write the schemas of all CRDs in a YAML stream; returns their paths."""
    written = []
    for item in yaml.load_all(text, Loader=yaml.CSafeLoader):
        if isinstance(item, dict) and item.get("kind") == "CustomResourceDefinition":
            for name, schema in of_crd(item):
                atomic.write_text(folder / name, json.dumps(schema, sort_keys=True, separators=(",", ":")) + "\n")
                written.append(name)
    return written


def download(url: str) -> str:
    """The text at an address.

    Raises:
        LooplineError: it cannot be had.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            return str(answer.read().decode())
    except OSError as error:
        raise LooplineError(f"{url} cannot be had ({error}); `make schemas` needs the internet") from error


def main() -> int:
    """Fill the folder of schemas from the releases in versions.yaml."""
    folder = schemas.folder()
    if folder.is_dir() and not os.access(folder, os.W_OK):
        print(f"error: {folder} cannot be written; name another folder with LOOPLINE_SCHEMAS", file=sys.stderr)
        return 1
    try:
        for release in yaml.safe_load(VERSIONS.read_text(encoding="utf-8"))["releases"]:
            for url in release["crds"]:
                written = write(download(url), folder)
                if not written:
                    raise LooplineError(f"{url} holds no CRD; correct {VERSIONS}")
                print(f"{release['name']} {release['version']}: {len(written)} schemas")
    except LooplineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
