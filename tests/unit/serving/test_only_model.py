"""The server finds the one model of a repository: in Kubernetes its endpoint may have another name."""

import pytest

from loopline.components.errors import LooplineError
from loopline.components.serving.predictor.onnx_server import only_model


def test_the_one_folder_is_the_model(tmp_path):
    (tmp_path / "air_temperature").mkdir()
    (tmp_path / "README").touch()
    assert only_model(tmp_path) == "air_temperature"


@pytest.mark.parametrize(("names", "found"), [((), "none"), (("a", "b"), "a, b")])
def test_none_or_several_are_refused(tmp_path, names, found):
    for name in names:
        (tmp_path / name).mkdir()
    with pytest.raises(LooplineError, match=f"has to hold one model and holds {found}; name one with --model_name"):
        only_model(tmp_path)
