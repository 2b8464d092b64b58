"""Running written graphs by what others would run them with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audiovq.units.optional import need


class OnnxGraph:
    """A graph in an ONNX file, run by onnxruntime on the CPU.

    Args:
        file: to run.
        about: the graph, as the manifest has it.
        threads: of the runtime.
    """

    def __init__(self, file: Path, about: Mapping[str, Any], threads: int) -> None:
        runtime = need("onnxruntime", "checks of ONNX files", "audiovq[onnx]")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = runtime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        self._names = [port["name"] for port in about["inputs"]]
        states = about["states"]
        self._states = about["inputs"][len(self._names) - states :]

    def __call__(self, *given: Tensor) -> Tensor:
        """Return what comes out of a graph without a state."""
        named = dict(zip(self._names, (g.numpy() for g in given), strict=True))
        return torch.from_numpy(self._session.run(None, named)[0])

    def stream(self, given: Tensor, *others: Tensor, block: int) -> Tensor:
        """Return what comes out of a graph with a state, a block of the first input at a time."""
        first, *rest = self._names[: len(self._names) - len(self._states)]
        named = dict(zip(rest, (o.numpy() for o in others), strict=True))
        state = {
            port["name"]: np.zeros((len(given), *port["shape"][1:]), np.float32)
            for port in self._states
        }
        parts = []
        for part in torch.split(given, block, dim=-1):
            result, *new = self._session.run(None, {first: part.numpy(), **named, **state})
            parts.append(torch.from_numpy(result))
            state = dict(zip(state, new, strict=True))
        return torch.cat(parts, dim=-1)


class TorchGraph:
    """A graph in a file of torch.export."""

    def __init__(self, file: Path) -> None:
        self._module = torch.export.load(file).module()

    @torch.no_grad()
    def __call__(self, *given: Tensor) -> Tensor:
        """Return what comes out."""
        result: Tensor = self._module(*given)
        return result
