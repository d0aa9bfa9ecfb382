"""Bills of materials are valid CycloneDX and name packages as scanners look them up."""

import json
import shutil
import subprocess
import sys

import pytest

from loopline.components.errors import LooplineError
from loopline.images.sbom import INVENTORY_SCRIPT, bill_of_materials

TOLD = {
    "python": "3.11.9",
    "packages": [
        ["PyYAML", "6.0.3", "MIT"],
        ["google.auth_oauthlib", "1.2", ""],
        ["torch", "2.13.0+cpu", "BSD-3-Clause"],
    ],
    "debian": [
        ["libc6", "2.36-9+deb12u10", "amd64"],
        ["tzdata", "2024b-0+deb12u1", "all"],
        ["perl", "1:5.36", "amd64"],
    ],
}


def test_packages_are_named_as_package_urls():
    document = bill_of_materials("loopline-data:0123", TOLD)
    urls = {component["name"]: component["purl"] for component in document["components"]}
    assert urls["PyYAML"] == "pkg:pypi/pyyaml@6.0.3"
    assert urls["google.auth_oauthlib"] == "pkg:pypi/google-auth-oauthlib@1.2"
    assert urls["torch"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert urls["libc6"] == "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64"
    assert urls["perl"] == "pkg:deb/debian/perl@1%3A5.36?arch=amd64"
    assert document["metadata"]["component"]["version"] == "0123"


def test_what_is_no_valid_document_is_not_written():
    with pytest.raises(LooplineError, match="of loopline-data:1 is not valid CycloneDX"):
        bill_of_materials("loopline-data:1", {**TOLD, "packages": [["a", "1", ""], ["a", "1", ""]]})


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="no Debian here: dpkg-query is missing")
def test_the_question_is_answered_by_any_python_on_debian():
    told = json.loads(
        subprocess.run([sys.executable, INVENTORY_SCRIPT], capture_output=True, text=True, check=True).stdout
    )
    names = {name.lower() for name, _, _ in told["packages"]}
    assert {"kfp", "pyarrow"} <= names
    assert any(name == "dpkg" for name, *_ in told["debian"])
