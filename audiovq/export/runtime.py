"""Running written graphs by what others would run them with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audiovq.units.optional import need

States = Mapping[str, np.ndarray]  # of a stream, by the names of a graph's inputs


class OnnxGraph:
    """A graph without a state in an ONNX file, run by onnxruntime on the CPU.

    Args:
        file: to run.
        about: the graph, as the manifest has it.
        threads: of the runtime.
    """

    def __init__(self, file: Path, about: Mapping[str, Any], threads: int) -> None:
        self._session = _session(file, threads)
        self._names = [port["name"] for port in about["inputs"]]

    def __call__(self, *given: Tensor) -> Tensor:
        """Return what comes out."""
        named = dict(zip(self._names, (g.numpy() for g in given), strict=True))
        return torch.from_numpy(self._session.run(None, named)[0])


class OnnxSteps:
    """A graph with a state, likewise.

    Args:
        file: to run.
        about: the graph, as the manifest has it.
        threads: of the runtime.
    """

    def __init__(self, file: Path, about: Mapping[str, Any], threads: int) -> None:
        self._session = _session(file, threads)
        names = [port["name"] for port in about["inputs"]]
        if [given.name for given in self._session.get_inputs()] != names:
            raise ValueError("it is of another graph")
        plain = len(about["inputs"]) - about["states"]
        self._names = [port["name"] for port in about["inputs"][:plain]]
        self._states = about["inputs"][plain:]
        self._output = about["outputs"][0]

    def start(self, batch: int) -> States:
        """Return the state before the first frame."""
        return {
            port["name"]: np.zeros((batch, *port["shape"][1:]), np.float32) for port in self._states
        }

    def __call__(self, *given: np.ndarray, state: States) -> tuple[np.ndarray, States]:
        """Return what comes out of the next frames, and the new state."""
        named = dict(zip(self._names, given, strict=True))
        result, *new = self._session.run(None, {**named, **state})
        return result, dict(zip(state, new, strict=True))

    def nothing(self, batch: int) -> Tensor:
        """Return what comes out of no frames."""
        dtype = torch.int64 if self._output["dtype"] == "int64" else torch.float32
        return torch.zeros(batch, self._output["shape"][1], 0, dtype=dtype)

    def all_of(self, given: Tensor, *others: Tensor, block: int) -> Tensor:
        """Return what comes out of a whole recording, a block of the first input at a time."""
        state, parts = self.start(len(given)), []
        for part in torch.split(given, block, dim=-1):
            found, state = self(part.numpy(), *(o.numpy() for o in others), state=state)
            parts.append(torch.from_numpy(found))
        return torch.cat(parts, dim=-1)


def _session(file: Path, threads: int) -> Any:
    runtime = need("onnxruntime", "ONNX files", "audiovq[onnx]")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


class TorchGraph:
    """A graph in a file of torch.export."""

    def __init__(self, file: Path) -> None:
        self._module = torch.export.load(file).module()

    @torch.no_grad()
    def __call__(self, *given: Tensor) -> Tensor:
        """Return what comes out."""
        result: Tensor = self._module(*given)
        return result
