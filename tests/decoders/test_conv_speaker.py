import math
from functools import partial

import pytest
import torch

from audiovq.bottlenecks._base import Context
from audiovq.config import parse
from audiovq.decoders._speaker_table import MAX_SPEAKERS
from audiovq.decoders.conv_speaker import Config, ConvSpeakerDecoder
from audiovq.errors import ConfigError

NAMES = ["ann", "bob", "cem"]


def make(**values):
    torch.manual_seed(0)
    values = {"speakers": NAMES, "conv": {"channels": 4, "dilations": [1]}, **values}
    return ConvSpeakerDecoder(parse(Config, values), 4, (2, 5))


def rows(*values):
    return torch.tensor(values)


def fit(decoder, z, x, steps, condition=None):
    """Gradient steps towards x; returns the mean squared error that is left."""
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    error = partial(torch.nn.functional.mse_loss, target=x)
    for _ in range(steps):
        optimizer.zero_grad()
        error(decoder(z, Context(condition=condition))).backward()
        optimizer.step()
    return error(decoder(z, Context(condition=condition))).item()


def tones(*pitches):
    """One voice per item: a sine of each pitch, in cycles per 80 samples."""
    t = torch.arange(80) / 80
    return torch.stack([0.5 * torch.sin(2 * math.pi * p * t) for p in pitches]).unsqueeze(1)


def test_there_is_a_row_per_speaker_and_one_for_anyone():
    decoder = make(speaker_dim=7)
    assert decoder.speakers == tuple(NAMES)
    assert decoder.table.weight.shape == (4, 7)


def test_at_the_start_all_speakers_sound_alike_and_like_the_plain_decoder():
    decoder, z = make(), torch.randn(1, 4, 9).expand(4, -1, -1)
    y = decoder(z, Context(condition=rows(0, 1, 2, 3)))
    assert torch.equal(y, y[:1].expand(4, -1, -1))
    torch.testing.assert_close(y, decoder.conv(z))


def test_after_a_few_steps_they_differ():
    decoder, z = make(unknown=0.0), torch.randn(1, 4, 8).expand(2, -1, -1)
    fit(decoder, z, tones(3, 5), 5, rows(1, 2))
    y = decoder(z, Context(condition=rows(1, 2)))
    assert (y[0] - y[1]).abs().max() > 1e-3


def test_the_same_codes_become_two_voices_where_a_decoder_that_is_not_told_makes_their_mean():
    z = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(1)).expand(2, -1, -1)
    x = tones(3, 5)
    told, not_told = make(unknown=0.0), make(unknown=0.0)
    assert fit(told, z, x, 150, rows(1, 2)) < 0.01
    assert fit(not_told, z, x, 150) > 0.05  # of 0.125 for silence; their mean leaves 0.0625
    other = told(z, Context(condition=rows(2, 1)))  # conversion: the other one's voice
    assert torch.nn.functional.mse_loss(other, x.flip(0)) < 0.01


def test_a_segments_speaker_is_hidden_by_its_key_and_in_training_alone():
    decoder, items = make(unknown=0.3), 2000
    z, keys = torch.zeros(items, 4, 1), torch.arange(items)
    known = Context(condition=torch.ones(items, dtype=torch.int64))
    keyed = Context(condition=known.condition, keys=keys)
    hidden = decoder.table.rows(z, keyed) == 0
    assert hidden.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(decoder.table.rows(z, keyed) == 0, hidden)
    halves = [
        decoder.table.rows(z[:1000], Context(condition=known.condition[:1000], keys=k)) == 0
        for k in keys.split(1000)
    ]
    assert torch.equal(torch.cat(halves), hidden)
    assert decoder.table.rows(z, known).all()  # nothing to draw from
    assert decoder.eval().table.rows(z, keyed).all()


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (1.0, 0)])
def test_none_and_all_can_be_hidden(share, expected):
    context = Context(condition=torch.ones(500, dtype=torch.int64), keys=torch.arange(500))
    assert (make(unknown=share).table.rows(torch.zeros(500, 4, 1), context) == expected).all()


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="speakers: .*'ann' stands there twice"):
        parse(Config, {"speakers": ["ann", "bob", "ann"]})
    with pytest.raises(ConfigError, match="at most 10000 items"):
        parse(Config, {"speakers": [str(i) for i in range(MAX_SPEAKERS + 1)]})
    with pytest.raises(ConfigError, match="speakers.0.*at least 1 character"):
        parse(Config, {"speakers": [""]})
    with pytest.raises(ConfigError, match="conv.chanels: unknown key; did you mean 'channels'"):
        parse(Config, {"conv": {"chanels": 3}})
