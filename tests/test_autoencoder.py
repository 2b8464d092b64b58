import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import agreement
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.config import parse
from audiovq.errors import AudioError, ConfigError
from tests.helpers import SMALL, noise, small_model, voices_model

MODEL = small_model()
CAUSAL = small_model(causal=True)
VOICES = voices_model()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400))
def test_length_is_exact(length):
    x = noise(1, length)
    codes = MODEL.encode(x)
    assert codes.shape == (1, 1, math.ceil(length / MODEL.hop_length))
    assert codes.shape[-1] == MODEL.frames(length)
    assert MODEL.decode(codes, length).shape == x.shape
    assert MODEL.reconstruct(x).shape == x.shape
    assert MODEL(x).x_hat.shape == x.shape


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=4), st.integers(0, 60), st.booleans())
def test_an_item_is_the_same_alone_and_in_a_padded_batch(lengths, extra, causal):
    model = CAUSAL if causal else MODEL
    size = max(lengths) + extra
    x = noise(len(lengths), size)
    for i, n in enumerate(lengths):
        x[i, :, n:] = 0
    batch, z = torch.tensor(lengths), model.embed(x, torch.tensor(lengths))
    codes, x_hat = model.encode(x, batch), model.reconstruct(x, batch)
    exact = model.encode(x, batch, exact=True)
    for i, n in enumerate(lengths):
        alone = x[i : i + 1, :, :n]
        T = model.frames(n)
        torch.testing.assert_close(z[i : i + 1, :, :T], model.embed(alone), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            x_hat[i : i + 1, :, :n], model.reconstruct(alone), atol=1e-5, rtol=1e-4
        )
        assert torch.equal(exact[i : i + 1, :, :T], model.encode(alone, exact=True))
        assert x_hat[i, :, n:].abs().sum() == 0
        assert codes[i, :, T:].sum() == exact[i, :, T:].sum() == 0


def test_garbage_beyond_an_items_length_would_be_the_callers_mistake_but_codes_hold_at_its_frames():
    """Samples past `lengths` inside the last frame count as zero: encode() must not see them."""
    x = noise(1, 200)
    clean = x.clone()
    clean[..., 155:] = 0
    lengths = torch.tensor([155])
    assert torch.equal(
        MODEL.encode(x, lengths, exact=True), MODEL.encode(clean, lengths, exact=True)
    )
    assert torch.equal(MODEL.encode(x, lengths), MODEL.encode(clean, lengths))


@pytest.mark.parametrize("chunk_frames", [1, 7, 50, 333])
def test_chunks_change_rounding_only(chunk_frames):
    x, lengths = noise(3, 4000), torch.tensor([4000, 2501, 77])
    z = MODEL.embed(x, lengths)
    torch.testing.assert_close(
        MODEL.embed(x, lengths, chunk_frames=chunk_frames), z, atol=1e-5, rtol=1e-4
    )
    assert torch.equal(
        MODEL.encode(x, lengths, chunk_frames=chunk_frames), MODEL.encode(x, lengths)
    )


@pytest.mark.parametrize("block", [1000, 4999, 5130, 30000])
def test_blocks_equal_exact_bit_for_bit(block):
    x = noise(1, 20_003)
    exact = MODEL.encode(x, exact=True)
    assert torch.equal(torch.cat(list(MODEL.encode_blocks(x.split(block, -1))), -1), exact)


EVERY = {
    name: small_model(fields)
    for name, fields in {
        "vq_ema": "vq_ema",
        "rvq": {"name": "rvq", "dim": 6, "codebook_size": 16, "num_codebooks": 2},
        "fsq": {"name": "fsq"},
        "vqvae2": {"name": "vqvae2", "dim": 6, "slow_codebook_size": 8, "codebook_size": 8},
    }.items()
} | {"causal": CAUSAL}


@pytest.mark.parametrize("name", EVERY)
def test_codes_in_company_equal_those_alone_bit_for_bit(name, monkeypatch):
    """With short windows, so that items of these lengths are cut, packed, or both."""
    monkeypatch.setattr("audiovq.windows._SAMPLES", (320, 640, 960))
    model = EVERY[name]

    @settings(max_examples=6, deadline=None)
    @given(st.lists(st.integers(1, 1300), min_size=1, max_size=6), st.integers(100, 900))
    def check(lengths, block):
        items = [noise(1, n, seed=i) for i, n in enumerate(lengths)]
        together, loose = model.encode_many(items), model.encode_many(items, exact=False)
        z = model.embed_many(items)
        longest = max(lengths)
        padded = torch.cat([torch.nn.functional.pad(x, (0, longest - x.shape[-1])) for x in items])
        batch = model.encode(padded, torch.tensor(lengths), exact=True)
        for i, x in enumerate(items):
            alone = model.encode(x, exact=True)
            assert alone.shape == (1, model.num_codebooks, model.frames(lengths[i]))
            assert torch.equal(together[i], alone[0])
            assert torch.equal(loose[i], alone[0])
            assert torch.equal(batch[i, :, : alone.shape[-1]], alone[0])
            assert torch.equal(z[i], model.embed(x, exact=True)[0])
            blocks = x.split(block, -1)
            assert torch.equal(torch.cat(list(model.encode_blocks(blocks)), -1), alone)
            assert torch.equal(torch.cat(list(model.embed_blocks(blocks)), -1)[0], z[i])

    check()
    if name != "vqvae2":  # whose bottleneck looks along time
        assert any(found.packs for found in agreement._known[model.encoder].values())


def test_an_encoder_that_hears_its_company_is_not_packed(monkeypatch):
    """As a kernel would that adds up in another order at another place."""
    model, forward = small_model(), EVERY["vq_ema"].encoder.__class__.forward

    def drifting(self, x, mask=None):
        y = forward(self, x, mask)
        return y + 1e-6 * torch.arange(y.shape[-1])

    monkeypatch.setattr(model.encoder.__class__, "forward", drifting)
    items = [noise(1, n, seed=n) for n in (100, 900, 30)]
    for x, z in zip(items, model.embed_many(items), strict=True):
        assert torch.equal(z, model.embed(x, exact=True)[0])
    (found,) = agreement._known[model.encoder].values()
    assert not found.packs


def test_no_items_no_codes():
    assert MODEL.encode_many([]) == []
    with pytest.raises(AudioError, match="L > 0"):
        MODEL.encode_many([torch.zeros(1, 1, 0)])
    with pytest.raises(ConfigError, match="continuous"):
        small_model("identity").encode_many([noise(1, 10)])
    many = small_model("identity").embed_many([noise(1, 95), noise(1, 10)])
    assert [z.shape[-1] for z in many] == [10, 1]


@pytest.mark.parametrize("change", ["load", "step", "data", "assign"])
def test_changed_weights_are_heard_at_once(change):
    """Weights in another layout are kept for the length of a call only."""
    model, other, items = small_model(), small_model(seed=5), [noise(1, 300), noise(1, 40)]
    before = model.embed_many(items), model.embed(items[0])
    if change == "load":
        model.load_state_dict(other.state_dict())
    elif change == "step":
        with torch.no_grad():
            torch._foreach_copy_(list(model.parameters()), list(other.parameters()))
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        if change == "data":
            ours.data.copy_(theirs.data)
        elif change == "assign":
            ours.data = theirs.data.clone()
    model.bottleneck.load_state_dict(other.bottleneck.state_dict())
    assert not torch.equal(model.embed(items[0]), before[1])
    assert torch.equal(model.embed(items[0]), other.embed(items[0]))
    both = model.embed_many(items), before[0], other.embed_many(items)
    for now, then, new in zip(*both, strict=True):
        assert torch.equal(now, new)
        assert now.shape == then.shape
    assert model.state_dict().keys() == other.state_dict().keys()
    assert model.fingerprint() == other.fingerprint()


@pytest.mark.parametrize("bottleneck", ["vq_ema", "identity"])
def test_reconstructed_blocks_equal_the_whole(bottleneck):
    model, x = small_model(bottleneck), noise(1, 20_003)
    joined = torch.cat(list(model.reconstruct_blocks(x.split(3001, -1))), -1)
    torch.testing.assert_close(joined, model.reconstruct(x), atol=1e-5, rtol=1e-4)


def test_long_items_take_the_chunked_path_with_the_same_result(monkeypatch):
    x = noise(2, 3000)
    whole = MODEL.reconstruct(x), MODEL.encode(x)
    monkeypatch.setattr("audiovq.inference._WHOLE_FRAMES", 50)
    torch.testing.assert_close(MODEL.reconstruct(x), whole[0], atol=1e-5, rtol=1e-4)
    assert torch.equal(MODEL.encode(x), whole[1])


def test_receptive_field_by_perturbing_codes():
    left, right = MODEL.receptive_field
    model = MODEL
    x = noise(1, 3000)
    hop, t = model.hop_length, 150
    z = model.embed(x)
    for position, inside in (
        (t * hop - left - 1, False),
        (t * hop - left, True),
        ((t + 1) * hop + right - 1, True),
        ((t + 1) * hop + right, False),
    ):
        changed = x.clone()
        changed[..., position] += 50.0
        z_e = model.encoder(changed)[0, :, t], model.encoder(x)[0, :, t]
        assert torch.equal(*z_e) != inside, position
    assert z.shape[-1] == 300


def test_causal_models_do_not_hear_the_future():
    x = noise(1, 1000)
    changed = x.clone()
    changed[..., 500:] = 0
    assert torch.equal(CAUSAL.encode(x)[..., :50], CAUSAL.encode(changed)[..., :50])
    torch.testing.assert_close(
        CAUSAL.reconstruct(x)[..., :500], CAUSAL.reconstruct(changed)[..., :500]
    )


def test_facts():
    assert (MODEL.hop_length, MODEL.frame_rate, MODEL.num_codebooks) == (10, 1600.0, 1)
    assert MODEL.bitrate == 1600 * 4
    assert MODEL.codebook_sizes == (16,)
    assert len(MODEL.layout) == 1
    assert MODEL.is_discrete
    plain = small_model("identity")
    assert (plain.bitrate, plain.num_codebooks, plain.is_discrete) == (None, 0, False)
    assert torch.equal(MODEL.frames(torch.tensor([1, 10, 11])), torch.tensor([1, 1, 2]))


def test_a_continuous_model_has_no_codes_and_says_what_to_do():
    plain, x = small_model("identity"), noise(1, 100)
    for call in (lambda: plain.encode(x), lambda: next(plain.encode_blocks([x]))):
        with pytest.raises(ConfigError, match=r"continuous.*embed\(\)"):
            call()
    torch.testing.assert_close(plain.decode_embedding(plain.embed(x), 100), plain.reconstruct(x))


@pytest.mark.parametrize("length", [50, 100, 111, [101], [0, 101], "long"])
def test_a_length_that_does_not_fit_is_refused(length):
    codes = torch.zeros(2, 1, 11, dtype=torch.int64)
    length = [110, 1000] if length == "long" else length
    with pytest.raises(ConfigError, match=r"longest in \(100, 110\]"):
        MODEL.decode(codes, length)


def test_codes_that_are_not_codes_are_refused():
    with pytest.raises(ConfigError, match=r"\[0, N\)"):
        MODEL.decode(torch.full((1, 1, 3), 16))
    with pytest.raises(ConfigError, match=r"\[0, N\)"):
        MODEL.decode(torch.full((1, 1, 3), -1))
    with pytest.raises(ConfigError, match="from 1 to 1"):
        MODEL.decode(torch.zeros(1, 2, 3, dtype=torch.int64))


def test_waveforms_no_model_could_take_are_refused():
    bad = noise(1, 50)
    bad[..., 7] = math.nan
    with pytest.raises(AudioError, match="NaN"):
        MODEL.encode(bad)
    with pytest.raises(AudioError, match="NaN"):
        list(MODEL.encode_blocks([bad]))
    with pytest.raises(AudioError, match="L > 0"):
        MODEL.encode(torch.zeros(1, 1, 0))
    with pytest.raises(AudioError, match="from 1 to 50"):
        MODEL.encode(noise(1, 50), torch.tensor([51]))


def test_strides_that_disagree_are_refused():
    values = {**SMALL, "decoder": {"name": "conv", "strides": [2, 2]}}
    with pytest.raises(ConfigError, match="multiply to 4"):
        Autoencoder(parse(AutoencoderConfig, values))


def test_encode_equals_what_training_saw():
    x, lengths = noise(2, 230), torch.tensor([230, 101])
    x[1, :, 101:] = 0
    out = MODEL(x, lengths)
    assert torch.equal(out.bottleneck.codes, MODEL.encode(x, lengths))
    assert out.frames.tolist() == [23, 11]
    assert out.bottleneck.loss[1, 11:].abs().sum() == 0


def test_gradients_reach_every_parameter():
    model = small_model().train()
    x = noise(2, 300)
    out = model(x, keys=torch.arange(2))
    ((out.x_hat - x).square().mean() + out.bottleneck.loss.mean()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_saving_folds_weight_norm_and_changes_nothing(tmp_path):
    from audiovq.release import load

    model, x = small_model(), noise(1, 333)
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert torch.equal(again.encode(x), model.encode(x))
    assert torch.equal(again.reconstruct(x), model.reconstruct(x))
    assert not [n for n in again.state_dict() if "parametrizations" in n]
    assert again.fingerprint() == model.fingerprint()
    again.save(tmp_path / "n")
    assert (tmp_path / "m/model.safetensors").read_bytes() == (
        tmp_path / "n/model.safetensors"
    ).read_bytes()
    assert any("parametrizations" in n for n in model.state_dict())  # still trainable as it was


def test_a_fingerprint_tells_models_apart():
    a, b = small_model(seed=0), small_model(seed=0)
    assert a.fingerprint() == b.fingerprint()
    with torch.no_grad():
        b.bottleneck.codebook.ema_sum[0, 0] += 1e-6
    assert a.fingerprint() != b.fingerprint()


# ------------------------------------------------------------------- speakers


def test_speakers_by_name():
    assert VOICES.speakers == ("ann", "bob", "cem")
    assert MODEL.speakers == ()
    assert VOICES.speaker_index(["cem", None, "ann"]).tolist() == [3, 0, 1]
    assert VOICES.speaker_index(["cem", "dan"], strict=False).tolist() == [3, 0]
    with pytest.raises(ConfigError, match=r"no speaker 'anne' in this model; near: 'ann'; .*all 3"):
        VOICES.speaker_index(["cem", "anne"])
    with pytest.raises(ConfigError, match="near: 'ann', 'bob', 'cem'"):
        VOICES.speaker_index(["zzzzzz"])


def test_every_way_to_a_waveform_hears_the_speaker():
    x, who = noise(3, 230), VOICES.speaker_index(["ann", "bob", None])
    codes, z = VOICES.encode(x), VOICES.embed(x)
    ways = [
        VOICES.decode(codes, 230, who),
        VOICES.decode_embedding(z, 230, who),
        VOICES.reconstruct(x, condition=who),
        VOICES(x, condition=who).x_hat,
    ]
    plain = VOICES.reconstruct(x)
    for x_hat in ways:
        torch.testing.assert_close(x_hat, ways[0])
        differ = (x_hat - plain).abs().amax((1, 2)) > 1e-3
        assert differ.tolist() == [True, True, False]


@pytest.mark.parametrize("causal", [False, True])
def test_a_voice_is_the_same_alone_padded_in_chunks_and_in_blocks(monkeypatch, causal):
    model = voices_model(causal=causal)
    x, lengths = noise(3, 20_003), torch.tensor([20_003, 901, 7])
    for i, n in enumerate(lengths):
        x[i, :, n:] = 0
    who = model.speaker_index(["ann", "bob", "cem"])
    whole = model.reconstruct(x, lengths, who)
    for i, n in enumerate(lengths.tolist()):
        one, alone = who[i : i + 1], x[i : i + 1, :, :n]
        joined = torch.cat(list(model.reconstruct_blocks(alone.split(3001, -1), one)), -1)
        for x_hat in (model.reconstruct(alone, condition=one), joined):
            torch.testing.assert_close(x_hat, whole[i : i + 1, :, :n], atol=1e-5, rtol=1e-4)
        assert whole[i, :, n:].abs().sum() == 0
    monkeypatch.setattr("audiovq.inference._WHOLE_FRAMES", 50)
    monkeypatch.setattr("audiovq.windows._SAMPLES", (320, 640))
    chunked = model.reconstruct(x, lengths, who)
    torch.testing.assert_close(chunked, whole, atol=1e-5, rtol=1e-4)


def test_conditions_that_cannot_be_are_refused():
    x, who = noise(1, 100), torch.tensor([1])
    for call in (
        lambda: MODEL(x, condition=who),
        lambda: MODEL.decode(MODEL.encode(x), 100, who),
        lambda: MODEL.decode_embedding(MODEL.embed(x), 100, who),
        lambda: MODEL.reconstruct(x, condition=who),
        lambda: list(MODEL.reconstruct_blocks([x], who)),
        lambda: MODEL.speaker_index(["ann"]),
    ):
        with pytest.raises(ConfigError, match="decoder 'conv' and no table .*vq_voice"):
            call()
    for rows in (4, -1):
        with pytest.raises(ConfigError, match=r"given; 1 values from 0 \(anyone\) to 3 are"):
            VOICES.reconstruct(x, condition=torch.tensor([rows]))
    with pytest.raises(ConfigError, match=r"\[1, 2\] given; 1 values"):
        VOICES._checked(torch.tensor([1, 2]), 1)


def test_a_saved_model_knows_its_speakers(tmp_path):
    from audiovq.release import load

    VOICES.save(tmp_path)
    again, x = load(tmp_path), noise(2, 333)
    assert again.speakers == VOICES.speakers
    assert again.fingerprint() == VOICES.fingerprint()
    who = again.speaker_index(["bob", "cem"])
    assert torch.equal(again.reconstruct(x, condition=who), VOICES.reconstruct(x, condition=who))


def test_as_many_speakers_as_are_accepted_can_be_saved_and_loaded(tmp_path):
    from audiovq.decoders._speaker_table import MAX_NAME, MAX_SPEAKERS
    from audiovq.release import load

    # The longest names in the longest spelling: JSON writes a control character in 6 bytes.
    names = [f"{i:05}".ljust(MAX_NAME, "\x01") for i in range(MAX_SPEAKERS)]
    decoder = {"name": "conv_speaker", "speakers": names, "speaker_dim": 1}
    model = Autoencoder(parse(AutoencoderConfig, {**SMALL, "decoder": decoder}))
    model.save(tmp_path)
    assert load(tmp_path).speakers == tuple(names)
