"""Print what is installed in an image, for its bill of materials. Runs inside it, with the standard library only."""

import json
import platform
import subprocess
from importlib import metadata

packages = sorted(
    {(d.metadata["Name"], d.version, d.metadata["License-Expression"] or "") for d in metadata.distributions()}
)
listed = subprocess.run(
    ["dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture}\\n"],
    capture_output=True,
    text=True,
    check=True,
).stdout
print(
    json.dumps(
        {
            "python": platform.python_version(),
            "packages": packages,
            "debian": [line.split() for line in listed.splitlines()],
        }
    )
)
