"""What the service does without: its libraries work all the same, and nobody else's are changed."""

import json
import subprocess
import sys

SKIPPED = """
import json, sys
from loopline.components.serving.runtime import imports
imports.skip_unused()
from feast import Entity, FeatureView, FileSource, ValueType
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from kserve.protocol.grpc import grpc_predict_v2_pb2
source = FileSource(path="rows.parquet", timestamp_field="at")
view = FeatureView(name="delays", entities=[Entity(name="line", join_keys=["line"], value_type=ValueType.STRING)],
                   source=source)
print(json.dumps({
    "loaded": [name for name in imports.UNUSED if sys.modules[name]],
    "again": FeatureView.from_proto(view.to_proto()) == view,
    "checked": [kind.__name__ for kind in (Entity, FeatureView, FileSource)
                if "typeguard" in kind.__init__.__code__.co_names],
}))
"""


def test_the_libraries_work_without_the_unused_imports():
    done = subprocess.run([sys.executable, "-c", SKIPPED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"loaded": [], "again": True, "checked": []}
