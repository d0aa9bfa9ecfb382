"""Running a packaged model: the same code on a laptop, in a batch job and in evaluation."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from loopline.components.contract.model import Model
from loopline.components.errors import LooplineError

# Rows in one call of the graph: intermediate results fit the CPU cache, and memory is bounded.
ROWS_PER_CALL = 8_192


class Scorer:
    """An ONNX Runtime session over a packaged model.

    Args:
        model: the packaged model.
        threads: cores that one call may use; 0 lets ONNX Runtime decide.

    Raises:
        LooplineError: ONNX Runtime cannot load the graph.
    """

    def __init__(self, model: Model, threads: int = 0) -> None:
        import onnxruntime as ort  # noqa: PLC0415 - the contract is in images that have no ONNX Runtime

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(model.onnx), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises its own, undocumented classes
            raise LooplineError(f"{model.onnx} cannot be loaded: {error}") from error
        self.signature = model.signature

    def score(self, rows: pa.Table | pa.RecordBatch) -> npt.NDArray[np.float32]:
        """Scores of some rows, float32 [rows], in order.

        Raises:
            LooplineError: a feature is absent or of the wrong type.
        """
        return self.run(self.signature.tensors(rows))

    def run(self, tensors: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """Scores of prepared tensors, float32 [rows]."""
        rows = len(next(iter(tensors.values())))
        if rows <= ROWS_PER_CALL:
            return self._call(tensors)
        starts = range(0, rows, ROWS_PER_CALL)
        parts = ({name: tensor[at : at + ROWS_PER_CALL] for name, tensor in tensors.items()} for at in starts)
        return np.concatenate([self._call(part) for part in parts])

    def _call(self, tensors: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        (output,) = self._session.run([self.signature.output], tensors)
        return np.asarray(output, dtype=np.float32).reshape(-1)
