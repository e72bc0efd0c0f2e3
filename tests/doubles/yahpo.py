"""A tiny network with the inputs and outputs of YAHPO Gym's LCBench, as ONNX and, naively, in NumPy."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

CONTINUOUS = (
    "epoch",
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "num_layers",
    "max_units",
    "max_dropout",
)
OUTPUTS = (
    "time",
    "val_accuracy",
    "val_cross_entropy",
    "val_balanced_accuracy",
    "test_cross_entropy",
    "test_balanced_accuracy",
)
CODES = {"#na#": 0, "11": 1, "99": 2, "33": 3, "22": 4}  # 99 is encoded, and no instance
INSTANCES = ("11", "22", "33")
EPOCHS = 7
_UNITS = (7.0, 512.0, 0.1, 1.0, 0.1, 5.0, 1024.0, 1.0)


class Double:
    """The network: sines of a linear layer, and another layer; no loss with five layers, but NaN."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.embedding, self.first, self.bias, self.second, self.offset = (
            (spread * rng.standard_normal(shape)).astype(np.float32)
            for shape, spread in (((5, 3), 1.0), ((11, 16), 1.5), ((16,), 1.0), ((16, 6), 1.0), ((6,), 1.0))
        )

    def predict(self, code: int, row: list[float]) -> list[float]:
        """Return the six outputs for the eight numbers of a row."""
        scaled = [value / unit for value, unit in zip(row, _UNITS, strict=True)]
        joint = [*self.embedding[code].tolist(), *scaled]
        hidden = [
            math.sin(sum(x * w for x, w in zip(joint, column, strict=True)) + b)
            for column, b in zip(self.first.T.tolist(), self.bias.tolist(), strict=True)
        ]
        outputs = [
            sum(x * w for x, w in zip(hidden, column, strict=True)) + b
            for column, b in zip(self.second.T.tolist(), self.offset.tolist(), strict=True)
        ]
        left = 4.5 - row[5]
        outputs[2] += math.log(left) if left > 0 else math.nan
        return outputs

    def curves(self, instance: str, configuration: dict[str, float]) -> dict[str, list[float]]:
        """Return each output at the epochs 1, 2, ..., with time never decreasing and never negative."""
        found: dict[str, list[float]] = {name: [] for name in OUTPUTS}
        for epoch in range(1, EPOCHS + 1):
            row = [float({**configuration, "epoch": epoch}[name]) for name in CONTINUOUS]
            for name, value in zip(OUTPUTS, self.predict(CODES[instance], row), strict=True):
                found[name].append(value)
        latest = 0.0
        for place, time in enumerate(found["time"]):
            latest = found["time"][place] = max(latest, time)
        return found

    def write(self, folder: Path) -> None:
        """Write the three files of a scenario."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "encoding.json").write_text(json.dumps({"OpenML_task_id": CODES}))
        (folder / "config_space.json").write_text(json.dumps(config_space()))
        (folder / "model.onnx").write_bytes(self.onnx())

    def onnx(self) -> bytes:
        """Return the network as an ONNX file."""
        from onnx import TensorProto, helper, numpy_helper

        layers = np.zeros((8, 1), dtype=np.float32)
        layers[CONTINUOUS.index("num_layers")] = -1.0
        constants = {
            "embedding": self.embedding,
            "units": np.array(_UNITS, dtype=np.float32),
            "first": self.first,
            "bias": self.bias,
            "second": self.second,
            "offset": self.offset,
            "layers": layers,
            "most": np.array([4.5], dtype=np.float32),
            "sizes": np.array([2, 1, 3], dtype=np.int64),
        }
        make = helper.make_node
        nodes = [
            make("Gather", ["embedding", "x_cat"], ["gathered"]),
            make("Flatten", ["gathered"], ["instance"], axis=1),
            make("Div", ["x_cont", "units"], ["scaled"]),
            make("Concat", ["instance", "scaled"], ["joint"], axis=1),
            make("Gemm", ["joint", "first", "bias"], ["linear"]),
            make("Sin", ["linear"], ["hidden"]),
            make("Gemm", ["hidden", "second", "offset"], ["all"]),
            make("Split", ["all", "sizes"], ["left", "middle", "right"], axis=1),
            make("Gemm", ["x_cont", "layers", "most"], ["fewer"]),
            make("Log", ["fewer"], ["log"]),
            make("Add", ["middle", "log"], ["loss"]),
            make("Concat", ["left", "loss", "right"], ["output"], axis=1),
        ]
        inputs = [
            helper.make_tensor_value_info("x_cat", TensorProto.INT32, ["batch", 1]),
            helper.make_tensor_value_info("x_cont", TensorProto.FLOAT, ["batch", 8]),
        ]
        outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 6])]
        initial = [numpy_helper.from_array(array, name) for name, array in constants.items()]
        graph = helper.make_graph(nodes, "double", inputs, outputs, initial)
        opset = [helper.make_opsetid("", 13)]
        made: bytes = helper.make_model(graph, ir_version=8, opset_imports=opset).SerializeToString()
        return made


def config_space() -> dict[str, object]:
    """Return the search space, as ConfigSpace writes it."""

    def number(name: str, kind: str, low: float, high: float, log: bool) -> dict[str, object]:
        return {"name": name, "type": f"uniform_{kind}", "lower": low, "upper": high, "log": log}

    instance = {"name": "OpenML_task_id", "type": "categorical", "choices": list(INSTANCES)}
    hyperparameters = [
        number("batch_size", "int", 16, 512, True),
        number("epoch", "int", 1, EPOCHS, False),
        instance,
        number("learning_rate", "float", 1e-4, 0.1, True),
        number("max_dropout", "float", 0.0, 1.0, False),
        number("max_units", "int", 64, 1024, True),
        number("momentum", "float", 0.1, 0.99, False),
        number("num_layers", "int", 1, 5, False),
        number("weight_decay", "float", 1e-5, 0.1, False),
    ]
    return {"hyperparameters": hyperparameters, "conditions": [], "forbiddens": []}
