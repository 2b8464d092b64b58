"""What a folder of graphs holds: `export.json` for programs, `README.md` for people."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from audiovq.export.graphs import Graph, Port

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder

MANIFEST, README = "export.json", "README.md"
KIND = ("audiovq.export", 1)  # of the manifest, and its version
_USE = (
    "Items of a batch are equally long; items of several lengths go one by one. The last frame is "
    "filled up with silence: of a decoded waveform, keep as many samples as went in."
)
_TORCH = ("", "Programs of torch.export (.pt2) take two frames or more, ONNX files one or more.")
_SPEAKER = ("", f"`speaker` is a place in the list `speakers` of {MANIFEST}; place 0 is anyone.")
_PACKAGES = ("audiovq", "torch", "onnx", "onnxscript", "onnxruntime")


def facts(model: "Autoencoder", rows: int) -> dict[str, Any]:
    """Return what one must know of a model to use its graphs.

    Args:
        model: that was exported.
        rows: of its codes, or of the embedding.
    """
    return {
        "fingerprint": model.fingerprint(),
        "sample_rate": model.sample_rate,
        "hop_length": model.hop_length,
        "frame_rate": model.frame_rate,
        "codebook_sizes": list(model.codebook_sizes[:rows]),
        "layout": list(model.layout[:rows]),
        "speakers": ["", *model.speakers] if model.speakers else [],
        "latency": {
            "frame_samples": model.hop_length,
            "encoder_lookahead_samples": max(0, model.receptive_field[1]),
            "decoder_lookahead_samples": max(0, model.decoder.receptive_field[1])
            * model.decoder.hop_length,
        },
    }


def manifest(
    model: "Autoencoder",
    graphs: Sequence[Graph],
    files: Mapping[str, Mapping[str, str]],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what `export.json` says.

    Args:
        model: that was exported.
        graphs: of it.
        files: by graph and format.
        settings: as asked for.
    """
    rows = next(p.shape[1] for g in graphs for p in (*g.inputs, *g.outputs) if _is_middle(p))
    assert isinstance(rows, int)
    return {
        "format": KIND[0],
        "format_version": KIND[1],
        **facts(model, rows),
        "settings": dict(settings),
        "graphs": {
            g.name: {
                "files": dict(files[g.name]),
                "inputs": [_port(p) for p in g.inputs],
                "outputs": [_port(p) for p in g.outputs],
                "states": g.states,
                "least_in_torch": dict(g.least) if "torch" in files[g.name] else {},
            }
            for g in graphs
        },
        "versions": {name: _version(name) for name in _PACKAGES},
        "model": model.config.model_dump(mode="json"),
    }


def _is_middle(port: Port) -> bool:
    return port.name in {"codes", "embedding"}


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "dtype": port.dtype, "shape": list(port.shape)}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def readme(about: Mapping[str, Any]) -> str:
    """Return the page of a folder that a manifest is of."""
    graphs = about["graphs"]
    rows = [
        f"| {name} | {' '.join(g['files'].values())} | {_ports(g['inputs'], g['states'])} | "
        f"{_ports(g['outputs'], g['states'])} |"
        for name, g in graphs.items()
    ]
    text = [
        "# Graphs of an audiovq model",
        "",
        _facts(about),
        "",
        "| graph | files | inputs | outputs |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
        _USE,
        *(_TORCH if any("torch" in g["files"] for g in graphs.values()) else ()),
        *(_SPEAKER if any(_takes_speaker(g) for g in graphs.values()) else []),
    ]
    onnx = {name for name, g in graphs.items() if "onnx" in g["files"]}
    if {"encoder", "decoder"} <= onnx:
        text += ["", "A recording and back, with numpy and onnxruntime:", *_block(_whole(about))]
    if {"encoder_stream", "decoder_stream"} <= onnx:
        text += ["", "Live, frame by frame, from states of zeros:", *_block(_live(about))]
    return "\n".join(text) + "\n"


def _ports(ports: Sequence[Mapping[str, Any]], states: int) -> str:
    shown = [f"{p['name']} {p['dtype']} ({', '.join(map(str, p['shape']))})" for p in ports]
    if not states:
        return ", ".join(shown)
    first, last = ports[-states]["name"], ports[-1]["name"]
    return ", ".join([*shown[:-states], f"{first} to {last}"])


def _facts(about: Mapping[str, Any]) -> str:
    sizes = " + ".join(map(str, about["codebook_sizes"]))
    return (
        f"{about['sample_rate']} Hz, {about['hop_length']} samples per frame, "
        f"{f'codebooks of {sizes}' if sizes else 'continuous'}; model "
        f"{about['fingerprint'][:12]}. All else is in {MANIFEST}."
    )


def _takes_speaker(graph: Mapping[str, Any]) -> bool:
    return any(p["name"] == "speaker" for p in graph["inputs"])


def _block(lines: Sequence[str]) -> list[str]:
    return ["", "```python", *lines, "```"]


def _whole(about: Mapping[str, Any]) -> list[str]:
    encoder, decoder = (about["graphs"][name] for name in ("encoder", "decoder"))
    middle = encoder["outputs"][0]["name"]
    more = ', "speaker": np.array([0])' if _takes_speaker(decoder) else ""
    return [
        "import wave",
        "import numpy as np",
        "import onnxruntime",
        "",
        'encoder = onnxruntime.InferenceSession("encoder.onnx")',
        'decoder = onnxruntime.InferenceSession("decoder.onnx")',
        f'with wave.open("speech.wav") as file:  # {about["sample_rate"]} Hz, mono, 16 bits',
        "    x = np.frombuffer(file.readframes(file.getnframes()), np.int16) / np.float32(32768)",
        f'({middle},) = encoder.run(None, {{"waveform": x[None, None]}})',
        f'(x_hat,) = decoder.run(None, {{"{middle}": {middle}{more}}})',
        "x_hat = x_hat[0, 0, : len(x)]",
    ]


def _live(about: Mapping[str, Any]) -> list[str]:
    encoder, decoder = (about["graphs"][f"{name}_stream"] for name in ("encoder", "decoder"))
    middle, hop = encoder["outputs"][0]["name"], about["hop_length"]
    more = ', "speaker": np.array([0])' if _takes_speaker(decoder) else ""
    return [
        "import numpy as np",
        "import onnxruntime",
        "",
        "def start(path):",
        "    session = onnxruntime.InferenceSession(path)",
        '    states = [i for i in session.get_inputs() if i.name.startswith("state_")]',
        "    return session, {i.name: np.zeros((1, *i.shape[1:]), np.float32) for i in states}",
        "",
        "def step(session, state, inputs):",
        "    result, *new = session.run(None, {**inputs, **state})",
        "    return result, dict(zip(state, new))",
        "",
        'encoder, heard = start("encoder_stream.onnx")',
        'decoder, said = start("decoder_stream.onnx")',
        f"for x in np.zeros((50, 1, 1, {hop}), np.float32):  # frames as they come",
        f'    {middle}, heard = step(encoder, heard, {{"waveform": x}})',
        f'    x_hat, said = step(decoder, said, {{"{middle}": {middle}{more}}})',
    ]
