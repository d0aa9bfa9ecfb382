"""What an image says of itself, for its bill of materials. Runs inside it, on the standard library alone."""

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
