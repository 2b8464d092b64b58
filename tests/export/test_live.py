"""Exported models as streams: what `model.stream()` gives, without the model."""

import json
import shutil

import pytest
import torch

import audiovq
from audiovq.errors import AudioError, CheckpointError, ConfigError
from audiovq.export.live import Exported, is_exported
from tests.helpers import noise

X = noise(2, 95)


@pytest.mark.parametrize("block", [1, 7, 10, 40, 95])
def test_blocks_of_any_size_give_what_the_model_gives(exported, block):
    folder = exported("spectra_causal")
    model = audiovq.load(folder / "model")
    codes = model.encode(X)
    blocks = torch.split(X, block, dim=-1)
    with Exported(folder / "graphs").stream(2) as live:
        found = [live.encode(b, last=i == len(blocks) - 1) for i, b in enumerate(blocks)]
        assert torch.equal(torch.cat(found, dim=-1), codes)
        x_hat = torch.cat([live.decode(c) for c in found], dim=-1)
        assert (x_hat - model.decode(codes)).abs().max() < 1e-5
        live.reset()
        parts = [live.reconstruct(b, last=i == len(blocks) - 1) for i, b in enumerate(blocks)]
        assert (torch.cat(parts, dim=-1) - model.reconstruct(X)).abs().max() < 1e-5
        assert live.latency == model.hop_length


@pytest.mark.slow
def test_who_is_heard(exported):
    folder = exported("voices")
    model, graphs = audiovq.load(folder / "model"), Exported(folder / "graphs")
    codes = model.encode(X)
    for speaker in (*model.speakers, None):
        wanted = model.decode(codes, condition=model.speaker_index([speaker] * 2))
        with graphs.stream(2, speaker=speaker) as live:
            assert (live.decode(codes) - wanted).abs().max() < 1e-5
    with pytest.raises(ConfigError, match="no speaker 'zed'.*ann, bob, cem"):
        graphs.stream(speaker="zed")
    with pytest.raises(ConfigError, match="not told who speaks"):
        Exported(exported("spectra_causal") / "graphs").stream(speaker="ann")


def test_mistakes(exported, tmp_path):
    graphs = exported("spectra_causal") / "graphs"
    with Exported(graphs).stream() as live:
        for x in (X, torch.full((1, 1, 3), torch.nan), torch.zeros(1, 1, 3, dtype=torch.int64)):
            with pytest.raises(AudioError):
                live.encode(x)
        with pytest.raises(ConfigError, match="any number"):
            live.decode(torch.zeros(1, 1, 4, dtype=torch.int64))
        with pytest.raises(ConfigError):
            live.decode(torch.full((1, 2, 1), 99))
        live.encode(X[:1], last=True)
        with pytest.raises(AudioError, match="reset"):
            live.encode(X[:1])
    with pytest.raises(ConfigError, match="closed"):
        live.encode(X[:1])
    with pytest.raises(ConfigError, match="batch=0"):
        Exported(graphs).stream(0)
    with pytest.raises(ConfigError, match="holds no graphs of streams"):
        Exported(exported("conv") / "graphs").stream()
    assert not is_exported(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 9}, "format_version"),
        ({"hop_length": 0}, "hop_length"),
        ({"hop_length": 5}, "hop_length 5 is not that"),
        ({"speakers": None}, "speakers"),
        ({"graphs": []}, "graphs"),
    ],
)
def test_a_damaged_manifest_is_one_line(exported, tmp_path, change, words):
    about = json.loads((exported("spectra_causal") / "graphs" / "export.json").read_text())
    (tmp_path / "export.json").write_text(json.dumps(about | change))
    with pytest.raises(CheckpointError, match=rf"{words}.*export the model again"):
        Exported(tmp_path)
    (tmp_path / "export.json").write_text("{")
    with pytest.raises(CheckpointError, match="export the model again"):
        Exported(tmp_path)


def test_damaged_files_are_one_line(exported, tmp_path):
    folder = tmp_path / "graphs"
    shutil.copytree(exported("spectra_causal") / "graphs", folder)
    encoder, decoder = (folder / f"{side}_stream.onnx" for side in ("encoder", "decoder"))
    for data in (decoder.read_bytes(), encoder.read_bytes()[:500], b"", None):
        encoder.unlink()
        if data is not None:
            encoder.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"encoder_stream.onnx cannot be run \(.*again"):
            Exported(folder).stream()
        if data is None:
            break


def test_codes_and_samples_of_other_types(exported):
    folder = exported("spectra_causal")
    model = audiovq.load(folder / "model")
    codes = model.encode(X)
    for live in (model.stream(2), Exported(folder / "graphs").stream(2)):
        wanted = live.decode(codes)
        live.reset()
        assert torch.equal(live.decode(codes.to(torch.int16)), wanted)
        for wrong in (codes.float(), codes.bool()):
            with pytest.raises(ConfigError, match="int64 is accepted"):
                live.decode(wrong)
        found = live.encode(X.clone().requires_grad_(), last=True)
        assert torch.equal(found, codes)


def test_a_part_alone(exported, tmp_path):
    folder = tmp_path / "graphs"
    shutil.copytree(exported("spectra_causal") / "graphs", folder)
    about = json.loads((folder / "export.json").read_text())
    del about["graphs"]["decoder_stream"]
    (folder / "export.json").write_text(json.dumps(about))
    with Exported(folder, threads=2).stream(2) as live:
        assert live.encode(X, last=True).shape[-1] == 10
        with pytest.raises(ConfigError, match="no decoder_stream.onnx"):
            live.decode(torch.zeros(2, 2, 1, dtype=torch.int64))


def test_the_command_takes_an_export(exported, tmp_path, run):
    folder = exported("spectra_causal")
    model, x = audiovq.load(folder / "model"), noise(1, 1600, seed=3)
    audiovq.audio.save(tmp_path / "x.wav", x, model.sample_rate)
    codes, out = tmp_path / "codes.txt", tmp_path / "y.wav"
    command = ("stream", folder / "graphs", tmp_path / "x.wav", "--fast")
    assert run(*command, "--codes", codes, "-o", out)[0] == 0
    x = audiovq.audio.load(tmp_path / "x.wav")
    wanted = model.encode(x)
    rows = [[int(v) for v in line.split()] for line in codes.read_text().splitlines()]
    assert rows == wanted[0].T.tolist()
    heard = audiovq.audio.load(out)
    assert (heard - model.decode(wanted, x.shape[-1]).clamp(-1, 1)).abs().max() < 1e-4
    code, _, error = run(*command, "--codebooks", 1, "--codes", tmp_path / "again.txt")
    assert code == 2
    assert "audiovq export --codebooks" in error
