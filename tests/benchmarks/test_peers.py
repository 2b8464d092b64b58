"""Peers' architectures keep our contracts: those tests, on the plug-ins of benchmarks/quality."""

import copy

import pytest
import torch

from audiovq import config as configs
from audiovq import registry
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.bottlenecks._base import Context
from audiovq.nn.conv import Span
from tests.bottlenecks import test_contract as of_bottlenecks
from tests.bottlenecks.test_contract import (  # noqa: F401  (collected here, with our fixtures)
    test_a_codebook_is_refused_where_there_is_nothing_to_start_from,
    test_an_empty_batch_of_frames_updates_to_finite_state,
    test_autocast_changes_what_is_computed_in_it_but_not_what_is_learned,
    test_codes_are_int64_in_range,
    test_codes_past_an_end_are_zero,
    test_description_of_an_epoch_is_not_an_average_over_batches,
    test_forward_changes_no_state_and_no_generator,
    test_forward_in_eval_is_encode_then_decode_bit_for_bit,
    test_forward_repeats_itself,
    test_masked_frames_change_nothing,
    test_one_item_of_one_frame_works,
    test_outputs_are_pytrees,
    test_shapes_and_finite_gradient,
    test_state_round_trips,
    test_two_half_batches_add_up_to_the_whole,
)
from tests.decoders import test_contract as of_decoders
from tests.decoders.test_contract import (  # noqa: F401
    test_an_item_is_the_same_alone_and_padded,
    test_anyone_is_row_0_and_no_condition,
    test_every_weight_learns,
    test_forward_changes_no_state_and_no_generator_and_repeats_itself,
    test_length_is_exact_down_to_one_frame,
    test_two_half_batches_are_the_whole,
)
from tests.helpers import noise

pytest.importorskip("transformers")
pytest.importorskip("vector_quantize_pytorch")

PLACE = "benchmarks.quality"
SMALL = {"codebook_size": 16, "num_codebooks": 3, "kmeans_iterations": 3}
QUANTIZERS = {
    f"{PLACE}.dac_quantizer": {**SMALL, "dim": 12, "codebook_dim": 4},
    f"{PLACE}.encodec_quantizer": {**SMALL, "dim": 12, "candidates": 256},
}
DECODERS = {
    "dac": (f"{PLACE}.dac_decoder", {"channels": 8}),
    "dac, published start": (f"{PLACE}.dac_decoder", {"channels": 8, "start": "published"}),
    "encodec": (f"{PLACE}.encodec_decoder", {"channels": 2}),
    "encodec, centred": (f"{PLACE}.encodec_decoder", {"channels": 2, "causal": False}),
}
ENCODERS = {
    "dac": (f"{PLACE}.dac_encoder", {"channels": 3}),
    "encodec": (f"{PLACE}.encodec_encoder", {"channels": 2}),
    "encodec, centred": (f"{PLACE}.encodec_encoder", {"channels": 2, "causal": False}),
}


@pytest.fixture(autouse=True)
def trusted(monkeypatch):
    """Plug-ins may be named, and the contract's own `make` makes small ones."""
    make = of_bottlenecks.make
    monkeypatch.setattr(of_bottlenecks, "make", lambda name: make(name, **QUANTIZERS[name]))
    with registry.plugins(None):
        yield


@pytest.fixture(params=QUANTIZERS)
def module(trusted, request):
    return of_bottlenecks.make(request.param)


@pytest.fixture(params=QUANTIZERS)
def discrete(trusted, request):
    return of_bottlenecks.make(request.param)


@pytest.fixture(params=DECODERS)
def decoder(trusted, request):
    name, values = DECODERS[request.param]
    return of_decoders.make(name, **values)


@pytest.fixture(params=ENCODERS)
def encoder(trusted, request):
    name, values = ENCODERS[request.param]
    found = registry.get("encoders", name)
    torch.manual_seed(0)
    values = {"name": name, "strides": (2, 5), **values}
    return found.cls(configs.parse(found.config, values), 4).double()


def test_frames_beyond_the_mask_change_nothing(encoder):
    x = noise(1, 400).double()
    mask = (torch.arange(40) < 25).double().view(1, 1, -1)
    alone = encoder(x[..., :250])
    assert encoder(x).shape == (1, 4, 40)
    x[..., 250:] = 0
    torch.testing.assert_close(encoder(x, mask)[..., :25], alone)


def test_a_network_sees_no_more_than_it_says(encoder):
    left, right = encoder.receptive_field
    hop, frames = 10, 60
    t = frames // 2
    x = noise(1, frames * hop).double().requires_grad_()
    encoder(x)[0, :, t].sum().backward()
    seen = x.grad[0, 0].nonzero().flatten()
    assert t * hop - seen[0] <= left
    assert seen[-1] + 1 - (t + 1) * hop <= right
    if "dac" in type(encoder).__module__:  # whose field is exact
        assert (t * hop - seen[0], seen[-1] + 1 - (t + 1) * hop) == (left, right)


def test_a_decoder_sees_no_more_than_it_says(decoder):
    left, right = decoder.receptive_field
    z = torch.randn(1, 4, 61, dtype=torch.float64, requires_grad=True)
    decoder(z)[0, 0, 300:310].sum().backward()
    seen = z.grad[0].abs().sum(0).nonzero().flatten()
    assert 30 - seen[0] <= left
    assert seen[-1] - 30 <= right
    if "dac" in type(decoder).__module__:
        assert (30 - seen[0], seen[-1] - 30) == (left, right)


def test_spans_of_dac_are_those_of_any_samples():
    found = registry.get("decoders", f"{PLACE}.dac_decoder")
    config = configs.parse(found.config, {"name": f"{PLACE}.dac_decoder", "channels": 8})
    decoder = found.cls(config, 4, (2, 5)).double()
    for start, end in ((303, 304), (307, 322)):
        z = torch.randn(1, 4, 61, dtype=torch.float64, requires_grad=True)
        decoder(z)[0, 0, start:end].sum().backward()
        seen = z.grad[0].abs().sum(0).nonzero().flatten()
        assert decoder.input_span(Span(start, end)) == Span(int(seen[0]), int(seen[-1]) + 1)


def test_dac_quantizes_as_transformers_does():
    """In evaluation its own forward gives the same codes and sum."""
    module = of_bottlenecks.make(f"{PLACE}.dac_quantizer").eval()
    from transformers.models.dac import modeling_dac as dac

    from benchmarks.quality._dac import settings

    theirs = dac.DacResidualVectorQuantizer(
        settings(hidden_size=12, codebook_dim=4, codebook_size=16, n_codebooks=3)
    ).eval()
    theirs.quantizers = copy.deepcopy(module.layers)
    z = of_bottlenecks.frames(module, 2, 9)
    quantised, codes, *_ = theirs(z)
    torch.testing.assert_close(module(z).z, quantised)
    assert torch.equal(module(z).codes, codes)


def test_encodec_learns_as_the_library_does():
    """A forward and an update are the library's forward in training, on the same frames."""
    module = of_bottlenecks.make(f"{PLACE}.encodec_quantizer").train()
    theirs = copy.deepcopy(module.library).train()
    for layer in (*theirs.layers, *module.library.layers):
        layer._codebook.threshold_ema_dead_code = 0
        layer._codebook.has_dead_code_replacement = False  # which draws in the frames' order
    z = of_bottlenecks.frames(module, 4, 20, seed=3)
    out = module(z, Context(keys=torch.arange(4)))
    codes = theirs(z.transpose(1, 2).reshape(1, 80, 12))[1]
    assert torch.equal(out.codes, codes.view(4, 20, 3).transpose(1, 2))
    module.update(out.statistics)
    torch.testing.assert_close(module.library.codebooks, theirs.codebooks)


@torch.no_grad()
def test_prefixes_of_codes_decode(discrete):
    z = of_bottlenecks.frames(discrete, 2, 30)
    codes = discrete.encode(z)
    errors = [float((discrete.decode(codes[:, :k]) - z).square().mean()) for k in (1, 2, 3)]
    assert errors == sorted(errors, reverse=True)


def test_a_model_of_peers_is_saved_and_loaded(tmp_path):
    import audiovq

    for name in ("dac", "encodec"):
        values = {
            "encoder": {"name": f"{PLACE}.{name}_encoder", "strides": (2, 5), "channels": 2},
            "bottleneck": {"name": f"{PLACE}.{name}_quantizer", **SMALL, "dim": 12},
            "decoder": {"name": f"{PLACE}.{name}_decoder", "channels": 4},
        }
        model = Autoencoder(configs.parse(AutoencoderConfig, values)).eval()
        model.bottleneck.initialise(torch.randn(4, 12, 40))
        model.save(tmp_path / name)
        again = audiovq.load(tmp_path / name, plugins=[v["name"] for v in values.values()])
        x = noise(1, 333)
        assert torch.equal(model.encode(x), again.encode(x))
        torch.testing.assert_close(model.reconstruct(x), again.reconstruct(x))


def test_codebooks_start_with_the_counts_of_one_step():
    """However many batches were clustered: what the encoder leaves behind can die in time."""
    module = of_bottlenecks.make(f"{PLACE}.encodec_quantizer")
    for layer in module.library.layers:
        assert float(layer._codebook.cluster_size.sum()) == pytest.approx(
            module.config.frames, rel=0.05
        )
        means = layer._codebook.embed_avg / layer._codebook.cluster_size.unsqueeze(-1)
        torch.testing.assert_close(means, layer._codebook.embed, rtol=1e-3, atol=1e-3)
