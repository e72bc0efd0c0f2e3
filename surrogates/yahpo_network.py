"""A scenario's network in onnxruntime: one whole curve a call, in one thread."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbsim.errors import SurrogateError, needs

__all__ = ["Float32s", "Network"]

Float32s = NDArray[np.float32]


class Network:
    """Predicts curves. Each is a batch of its own, of always the same size.

    The last bits of a prediction depend on the size of the batch, and may depend on a row's place in it
    (kernels treat what is left over after their vectors in another way). Level i is always row i of a
    batch that holds nothing else, so a curve depends on its configuration only.

    Parameters
    ----------
    path : Path
        The ONNX file: inputs ``x_cat``, int32 (batch, 1), and ``x_cont``, float32 (batch, d); output
        ``output``, float32 (batch, k).
    width, outputs : int
        d, the level included, which is its first column; and k.
    levels : sequence of float
        The T levels of a curve.

    Raises
    ------
    SurrogateError
        onnxruntime is not installed, or the file is no such network.
    """

    def __init__(self, path: Path, width: int, outputs: int, levels: tuple[float, ...]) -> None:
        self.path = path
        self._shape = (len(levels), outputs)
        self._numbers = np.zeros((len(levels), width), dtype=np.float32)
        self._numbers[:, 0] = levels
        self._category = np.zeros((len(levels), 1), dtype=np.int32)
        self._session = _open(path)
        self._check({"x_cat": ("tensor(int32)", 1), "x_cont": ("tensor(float)", width)})

    def curve(self, category: int, row: Float32s) -> Float32s:
        """Return all outputs at all levels, shape (T, k).

        Parameters
        ----------
        category : int
            The code of the instance.
        row : array of float32, shape (d - 1,)
            The inputs after the level.

        Raises
        ------
        SurrogateError
            The network fails, or returns another shape.
        """
        self._category[:] = category
        self._numbers[:, 1:] = row
        feed = {"x_cat": self._category, "x_cont": self._numbers}
        try:
            found = self._session.run(["output"], feed)[0]
        except Exception as error:  # onnxruntime's errors have no root of their own
            raise SurrogateError(str(self.path), f"cannot be evaluated: {_line(error)}") from error
        if found.shape != self._shape or found.dtype != np.float32:
            problem = f"must predict float32 of shape {self._shape}, not {found.dtype} of {found.shape}"
            raise SurrogateError(str(self.path), problem)
        curve: Float32s = found
        return curve

    def _check(self, wanted: dict[str, tuple[str, int]]) -> None:
        there = {one.name: (one.type, one.shape[-1]) for one in self._session.get_inputs()}
        outputs = [one.name for one in self._session.get_outputs()]
        if there != wanted or "output" not in outputs:
            problem = f"must map {wanted} to 'output'; it maps {there} to {outputs}"
            raise SurrogateError(str(self.path), problem)


def _open(path: Path) -> Any:
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError:
        raise SurrogateError(str(path), needs("onnxruntime", "yahpo")) from None
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors, which are raised as well
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise SurrogateError(str(path), f"is no network that onnxruntime can read: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
