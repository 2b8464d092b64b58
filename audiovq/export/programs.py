"""A graph as a program of torch.export, and that as an ONNX file."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from audiovq.errors import ConfigError
from audiovq.export.graphs import Graph
from audiovq.units.optional import need

ONNX_BYTES = 2_000_000_000  # protobuf's 2 GiB, less what is not weights
OPSETS = (18, 23)  # that torch's exporter and onnxruntime both know


def trace(graph: Graph) -> ExportedProgram:
    """Return a graph as a program for any batch and length.

    Raises:
        ConfigError: it does something that no graph can.
    """
    # Not a named Dim: of those it must be proved that every size passes every check.
    shapes = _nested(graph, lambda _: Dim.DYNAMIC)
    with _quiet(), torch.no_grad(), _explained(graph):
        program = torch.export.export(
            graph.module, graph.example, dynamic_shapes=shapes, strict=False
        )
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta.pop("stack_trace", None)  # which names the files of this machine
    return program


def to_torch(program: ExportedProgram) -> bytes:
    """Return a program as the bytes of a file for `torch.export.load`."""
    file = io.BytesIO()
    with _quiet():
        torch.export.save(program, file)
    return file.getvalue()


def check_onnx(opset: int | None) -> None:
    """Refuse to write ONNX without its packages, or for an opset that is not known."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        need(package, "ONNX files", "audiovq[onnx]")
    if opset is not None and not OPSETS[0] <= opset <= OPSETS[1]:
        raise ConfigError(f"opset {opset} given; {OPSETS[0]} to {OPSETS[1]} are accepted")


def check_size(graph: Graph) -> None:
    """Refuse a graph whose weights one ONNX file cannot hold."""
    held = (*graph.module.parameters(), *graph.module.buffers())
    size = sum(t.numel() * t.element_size() for t in held)
    if size >= ONNX_BYTES:
        raise ConfigError(
            f"the {graph.name} has {size / 1e9:.1f} GB of weights; an ONNX file holds less than "
            f"{ONNX_BYTES / 1e9:.1f} GB: export it with --format torch"
        )


def to_onnx(
    graph: Graph, program: ExportedProgram, opset: int | None, about: Mapping[str, str]
) -> bytes:
    """Return a program as the bytes of an ONNX file.

    Args:
        graph: what the program is of.
        program: by `trace`.
        opset: version of ONNX's operators, within `OPSETS`; None: torch's choice.
        about: to store in the file, by name.

    Raises:
        ConfigError: an operator has no counterpart, in this opset or at all.
    """
    with _quiet(), torch.no_grad(), _explained(graph):
        made = torch.onnx.export(
            program,
            graph.example,
            dynamo=True,
            verbose=False,
            input_names=[port.name for port in graph.inputs],
            output_names=[port.name for port in graph.outputs],
            dynamic_shapes=_nested(graph, lambda axis: axis),
            opset_version=opset,
        )
    assert made is not None
    if opset not in {None, made.model.opset_imports[""]}:
        raise ConfigError(
            f"the {graph.name} cannot be written for opset {opset}: leave --opset out, or try a "
            f"later one"
        )
    for node in made.model.graph.all_nodes():
        node.metadata_props.clear()
    made.model.metadata_props.clear()
    made.model.metadata_props.update(about)
    return bytes(made.model_proto.SerializeToString())


def _nested(graph: Graph, name: Callable[[str], Any]) -> tuple[Any, ...]:
    """Return the free axes of every input by place, nested as the module takes its inputs."""
    each: list[Any] = [
        {i: name(str(axis)) for i, axis in enumerate(port.shape) if axis in graph.least}
        for port in graph.inputs
    ]
    plain = len(each) - graph.states
    return (*each[:plain], *([tuple(each[plain:])] if graph.states else []))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what exporters say to their developers."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


@contextmanager
def _explained(graph: Graph) -> Iterator[None]:
    """Turn what an exporter cannot do into one line."""
    try:
        yield
    except (RuntimeError, TypeError, ValueError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        raise ConfigError(
            f"the {graph.name} of this model cannot be exported: {reason.strip()[:300]}"
        ) from error
