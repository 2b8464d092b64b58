import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import audio
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.config import parse
from audiovq.errors import AudioError, ConfigError
from tests.figures import FIGURES
from tests.helpers import SMALL, noise, small_model, voices_model

SPECTRA = {"channels": 8, "fast_channels": 6, "stft_hop": 5, "causal": True}
RVQ = {"name": "rvq", "dim": 6, "codebook_size": 16, "num_codebooks": 3}
VQVAE2 = {"name": "vqvae2", "dim": 6, "codebook_size": 16, "slow_codebook_size": 16, "ratio": 3}
ROWS = 3
X = noise(ROWS, 77, seed=2)


def spectral_model(bottleneck=RVQ):
    values = {
        **SMALL,
        "encoder": {"name": "stft", "strides": [2, 5], **SPECTRA},
        "decoder": {"name": "istft", **SPECTRA},
        "bottleneck": bottleneck,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Autoencoder(parse(AutoencoderConfig, values)).eval()
        if model.is_discrete:
            model.bottleneck.initialise(model.encoder(noise(4, 2000, seed=1)))
    return model


MODELS = {
    "conv": lambda: small_model(RVQ, causal=True),
    "spectra": spectral_model,
    "vqvae2": lambda: small_model({**VQVAE2, "causal": True}, causal=True),
    "continuous": lambda: spectral_model({"name": "vae", "dim": 6}),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.fixture(scope="module")
def discrete():
    return MODELS["spectra"]()


def in_blocks(function, x, *sizes):
    """Give x block by block, sizes over and over, and join what comes out."""
    parts, i = [], 0
    while x.shape[-1]:
        size = sizes[i % len(sizes)]
        parts.append(function(x[..., :size], last=size >= x.shape[-1]))
        x, i = x[..., size:], i + 1
    return torch.cat(parts, dim=-1)


@pytest.mark.parametrize("sizes", [(1,), (7,), (10,), (33, 0, 2), (1000,)], ids=str)
def test_in_blocks_of_any_size_it_equals_the_whole(model, sizes):
    expected = model.reconstruct(X)
    with model.stream(ROWS) as stream:
        found = in_blocks(stream.reconstruct, X, *sizes)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        stream.reset()
        if not model.is_discrete:
            found = in_blocks(stream.embed, X, *sizes)
            torch.testing.assert_close(found, model.embed(X), atol=1e-5, rtol=0)
            return
        assert torch.equal(in_blocks(stream.encode, X, *sizes), model.encode(X))


@settings(max_examples=5, deadline=None)
@given(cuts=st.lists(st.integers(0, 77), max_size=6), seed=st.integers(0, 9))
def test_however_it_is_cut_the_bits_are_the_same(discrete, cuts, seed):
    x = noise(1, 77, seed=seed)
    edges = [0, *sorted(cuts), 77]
    with discrete.stream() as one, discrete.stream() as other:
        whole = one.reconstruct(x, last=True)
        parts = [
            other.reconstruct(x[..., a:b], last=b == 77 and i == len(edges) - 2)
            for i, (a, b) in enumerate(pairwise(edges))
        ]
    assert torch.equal(torch.cat(parts, dim=-1), whole)


def test_codes_become_samples_as_they_come(model):
    if not model.is_discrete:
        z = model.embed(X)
        expected, stream = model.decode_embedding(z), model.stream(ROWS)
        parts = [stream.decode_embedding(part) for part in z.split([3, 0, 5], dim=-1)]
    else:
        codes = model.encode(X)
        expected, stream = model.decode(codes), model.stream(ROWS)
        parts = [stream.decode(codes[..., a:b]) for a, b in ((0, 1), (1, 1), (1, 3), (3, 99))]
    torch.testing.assert_close(torch.cat(parts, dim=-1), expected, atol=1e-5, rtol=0)


def test_fewer_codebooks_decode(discrete):
    codes = discrete.encode(X)[:, :2]
    found = discrete.stream(ROWS).decode(codes)
    torch.testing.assert_close(found, discrete.decode(codes), atol=1e-5, rtol=0)


def test_everyone_is_heard_as_who_is_asked_for():
    model = voices_model(causal=True)
    codes, names = model.encode(X), ["ann", None, "cem"]
    expected = model.decode(codes, condition=model.speaker_index(names))
    found = model.stream(ROWS, speaker=names).decode(codes)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert not torch.allclose(model.stream(ROWS, speaker="bob").decode(codes), expected)
    with pytest.raises(ConfigError, match="no speaker 'dan'"):
        model.stream(ROWS, speaker="dan")


def test_whoever_is_heard_in_a_recording_is_streamed():
    model = voices_model(causal=True, reference=True)
    voices = model.voice(X)  # (B, E)
    codes = model.encode(X)
    found = model.stream(ROWS, condition=voices).decode(codes)
    expected = model.decode(codes, condition=voices)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_with_gradients_on_layers_step_as_they_do_without(model):
    x = X[..., :70]
    state = model.encoder.initial_state(ROWS, x)
    z, _ = model.encoder.step(x, state)
    torch.testing.assert_close(z, model.encoder(x), atol=1e-5, rtol=1e-5)
    d = model.bottleneck.out_channels
    z = torch.randn(ROWS, d, 8, generator=torch.Generator().manual_seed(0))
    y, _ = model.decoder.step(z, model.decoder.initial_state(ROWS, z))
    torch.testing.assert_close(y, model.decoder(z), atol=1e-5, rtol=1e-5)
    assert z.requires_grad is False
    assert y.requires_grad


def test_what_comes_out_may_take_part_in_a_gradient(model):
    stream = model.stream(ROWS)
    scale = torch.ones(1, requires_grad=True)
    z = stream.embed(X)
    (scale * z + scale * stream.decode_embedding(z).mean()).sum().backward()
    assert scale.grad is not None


def test_the_latency_is_what_a_changed_sample_shows(model):
    hop, at = model.hop_length, model.hop_length  # the first sample of a frame
    changed = X.clone()
    changed[..., at] += 9.0  # large enough for another code
    with model.stream(ROWS) as one, model.stream(ROWS) as other:
        taken = given = 0
        while taken < 77:
            a = one.reconstruct(X[..., taken : taken + 1])
            b = other.reconstruct(changed[..., taken : taken + 1])
            taken += 1
            if not torch.equal(a, b):
                break
            given += a.shape[-1]
        assert taken - at == one.latency == hop
        assert given == at  # nothing before it changed


def test_state_is_bounded_and_let_go(discrete):
    with discrete.stream(2) as stream:
        sizes = set()
        for size in (3, 200, 7):
            stream.reconstruct(noise(2, size))
            sizes.add(stream.state_bytes - 4 * 2 * stream._buffer.waiting.shape[-1])
        storage = {id(t.untyped_storage()): t.untyped_storage().nbytes() for t in stream._encoder}
    assert len(sizes) == 1
    assert sum(storage.values()) < 100 * sizes.pop()  # no view into what has passed
    assert stream.state_bytes == 0


def test_a_row_begins_anew_while_the_others_go_on(model):
    hop = model.hop_length
    first, second = noise(2, 4 * hop, seed=3), noise(2, 4 * hop, seed=4)
    with model.stream(2) as stream:
        stream.reconstruct(first)
        stream.reset([1])
        found = stream.reconstruct(second)
    torch.testing.assert_close(found[1:], model.reconstruct(second[1:]), atol=1e-5, rtol=0)
    going_on = model.reconstruct(torch.cat([first[:1], second[:1]], dim=-1))[..., 4 * hop :]
    torch.testing.assert_close(found[:1], going_on, atol=1e-5, rtol=0)


def test_a_model_that_looks_ahead_is_refused():
    with pytest.raises(ConfigError, match=r"encoder looks .* samples ahead.*decoder looks"):
        small_model().stream()
    half = small_model(VQVAE2, causal=True)
    with pytest.raises(ConfigError, match=r"bottleneck looks 2 frames of codes ahead"):
        half.stream().encode(X[:1])
    assert half.stream().decode(half.encode(X[:1])).shape == (1, 1, 90)  # it decodes


def test_a_part_without_steps_is_refused(discrete, monkeypatch):
    encoder, base = type(discrete.encoder), type(discrete.encoder).__mro__[1]
    monkeypatch.setattr(encoder, "step", base.step)
    with pytest.raises(ConfigError, match=r"encoder, 'stft', defines no"):
        discrete.stream().encode(X[:1])


def test_what_does_not_fit_is_refused_and_changes_nothing(discrete):
    stream = discrete.stream(ROWS)
    expected = discrete.encode(X)
    begun = stream.encode(X[..., :33])
    for x, why in (
        (X[:2, :, 33:], r"samples of shape \(2, 1, 44\) given; \(3, 1, any number\)"),
        (X[0, :, 33:], r"samples of shape \(1, 44\)"),
        (X[..., 33:] * torch.nan, "NaN"),
        ((X[..., 33:] * 100).short(), "int16"),
    ):
        with pytest.raises(AudioError, match=why):
            stream.encode(x)
    found = torch.cat([begun, stream.encode(X[..., 33:], last=True)], dim=-1)
    assert torch.equal(found, expected)
    with pytest.raises(AudioError, match=r"the last samples were given before; reset\(\)"):
        stream.encode(X)


@pytest.mark.parametrize(
    ("codes", "why"),
    [
        (torch.zeros(2, 3, 1, dtype=torch.int64), r"codes of shape \(2, 3, 1\)"),
        (torch.zeros(3, 4, 1, dtype=torch.int64), r"K from 1 to 3"),
        (torch.full((3, 3, 1), 16), "must lie in"),
        (torch.zeros(3, 3, 1), "float32 given"),
    ],
)
def test_codes_that_do_not_fit_are_refused(discrete, codes, why):
    with pytest.raises(ConfigError, match=why):
        discrete.stream(ROWS).decode(codes)


def test_misuse_is_told(discrete):
    with pytest.raises(ConfigError, match="batch=0"):
        discrete.stream(0)
    stream = discrete.stream(2)
    with pytest.raises(ConfigError, match=r"rows \[2\] given; 0 to 1"):
        stream.reset([2])
    stream.encode(noise(2, 3))
    with pytest.raises(ConfigError, match="3 samples wait for 10"):
        stream.reset([0])
    with stream:
        pass
    for use in (lambda: stream.encode(X), stream.reset, stream.__enter__):
        with pytest.raises(ConfigError, match="closed"):
            use()
    with pytest.raises(ConfigError, match="continuous"):
        MODELS["continuous"]().stream().encode(X[:1])


def test_a_stream_keeps_its_weights_to_itself(discrete):
    model = copy.deepcopy(discrete)
    with model.stream(ROWS) as stream:
        before = stream.reconstruct(X)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    with model.stream(ROWS) as stream:
        assert not torch.equal(stream.reconstruct(X), before)


SIZES = (1, 37, 320, 441, 4000)


@pytest.mark.slow
@pytest.mark.parametrize("ends", [("conv", "conv"), ("stft", "istft")], ids=str)
def test_on_real_files_it_equals_the_whole(speech_root, ends):
    """Fresh weights of the default size, codebooks of real speech; five block sizes.

    With many more codes than residuals to cluster, codes would be alike, and rounding would choose.
    """
    if speech_root is None:
        pytest.skip("needs AUDIOVQ_TEST_DATA")
    differ, number, worst = fifty_files(speech_root, ends, 1.0)
    assert worst < 1e-5
    assert len(set(differ.values())) == 1
    assert differ[1] <= number * 1e-4


def fifty_files(root, ends, seconds):
    """Return codes that differ by block size, how many codes there are, the worst sample error."""
    files = sorted((root / "LibriSpeech").rglob("*.flac"))
    model = default_model(*ends, [audio.load(f, 16000)[..., :64000] for f in files[3::40]])
    files = files[::7][:50]
    differ, number, worst = dict.fromkeys(SIZES, 0), 0, 0.0
    for i, file in enumerate(files):
        x = audio.load(file, 16000)[..., : int(16000 * seconds) + 13 * i]  # of odd lengths
        codes, x_hat = model.encode(x), model.reconstruct(x)
        number += codes.numel()
        for size in SIZES:
            with model.stream() as stream:
                differ[size] += int((in_blocks(stream.encode, x, size) != codes).sum())
                found = stream.decode(codes)[..., : x.shape[-1]]
            worst = max(worst, (found - x_hat).abs().max().item())
    FIGURES.append(
        f"streaming, {'+'.join(ends)}: of {number} codes of {len(files)} files differ from offline "
        f"in blocks of {SIZES}: {list(differ.values())}, and the worst sample by {worst:.1e}"
    )
    return differ, number, worst


def default_model(encoder, decoder, speech):
    values = {
        "encoder": {"name": encoder, "causal": True},
        "bottleneck": {"name": "rvq", "dim": 64, "codebook_size": 128, "num_codebooks": 4},
        "decoder": {"name": decoder, "causal": True},
    }
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = Autoencoder(parse(AutoencoderConfig, values)).eval()
        z = [model.encoder(x[..., : x.shape[-1] // 320 * 320]) for x in speech]
        model.bottleneck.initialise(torch.cat(z, dim=-1))
    return model
