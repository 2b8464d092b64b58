import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import prior as priors
from audiovq.coding import fixed
from audiovq.coding.prior_codes import PriorCodes
from audiovq.config import parse
from audiovq.errors import AudioError, AudioVQError, ConfigError
from audiovq.prior._release import About, TrainedPrior
from tests.prior import sources
from tests.prior.test_contract import draw_codes, make

NAMES = fixed.names()
SIZES = [(5,), (4, 6, 5)]
UNITS = Path(os.environ.get("AUDIOVQ_TEST_UNITS", "/nowhere"))


def trained(name, sizes, **values):
    """A tiny prior as one that was loaded."""
    return wrapped(make(name, sizes, local=False, labels=0, **values), name)


def wrapped(prior, name):
    codes = {"model_hash": "m", "sample_rate": 16000, "hop_length": 320}
    values = prior.config.model_dump() | {"name": name}
    sizes = prior.codebook_sizes
    return TrainedPrior(
        prior, parse(About, {"prior": values, "codes": codes | {"codebook_sizes": sizes}})
    )


def blocks_of(sizes, lengths, *, seed=0):
    return [draw_codes(sizes, 1, n, seed=seed + i)[0] for i, n in enumerate(lengths)]


def same(found, expected):
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_blocks_come_back_and_their_bytes_are_their_own(name, sizes):
    coder = PriorCodes(trained(name, sizes))
    blocks = blocks_of(sizes, [20, 1, 13, 20, 2])
    payloads, frames = coder.encode(blocks), [block.shape[1] for block in blocks]
    assert [coder.encode([block])[0] for block in blocks] == payloads
    decoded = coder.decode(payloads, frames)
    assert same(decoded, blocks)
    assert decoded[0].dtype == torch.int64
    assert same(coder.decode(payloads[1:3], frames[1:3]), blocks[1:3])
    for payload, bits in zip(payloads, coder.bits(blocks), strict=True):
        assert -4 <= len(payload) - bits / 8 <= 1.01
    assert coder.codebook_sizes == sizes


def test_many_blocks_are_taken_some_at_a_time(monkeypatch):
    from audiovq.coding import prior_codes

    coder, blocks = PriorCodes(trained("wavenet", (5,))), blocks_of((5,), range(1, 20))
    payloads = coder.encode(blocks)
    for name, value in (("_TOGETHER", 4), ("_FRAMES", 10), ("_TABLES", 12)):
        monkeypatch.setattr(prior_codes, name, value)
    assert coder.encode(blocks) == payloads
    assert same(coder.decode(payloads, range(1, 20)), blocks)
    assert coder.encode([]) == coder.decode([], []) == []


@pytest.mark.parametrize("name", NAMES)
def test_extreme_logits_still_come_back(name):
    """Weights so large that one code takes all, and the others only what each is left."""
    found = trained(name, (4, 6, 5))
    with torch.no_grad():
        for parameter in found.module.parameters():
            parameter.mul_(100)
    coder, blocks = PriorCodes(found), blocks_of((4, 6, 5), [25, 9])
    payloads = coder.encode(blocks)
    assert same(coder.decode(payloads, [25, 9]), blocks)
    assert all(math.isfinite(bits) for bits in coder.bits(blocks))


SCRIPT = """
import json, sys
from audiovq import prior
from audiovq.coding.prior_codes import PriorCodes
found = {}
for name, payloads, frames in json.load(sys.stdin):
    coder = PriorCodes(prior.load(name))
    blocks = coder.decode([bytes.fromhex(p) for p in payloads], frames)
    found[name] = [[b.tolist() for b in blocks], [p.hex() for p in coder.encode(blocks)]]
json.dump([found, __import__("torch").get_num_threads()], sys.stdout)
"""


def test_another_process_with_other_threads_reads_and_writes_the_same(tmp_path):
    sizes, told, expected = (40, 30), [], {}
    for name in NAMES:
        made = trained(name, sizes, channels=64)
        made.save(tmp_path / name)
        coder, blocks = PriorCodes(priors.load(tmp_path / name)), blocks_of(sizes, [100, 9])
        payloads = [payload.hex() for payload in coder.encode(blocks)]
        told.append([str(tmp_path / name), payloads, [100, 9]])
        expected[str(tmp_path / name)] = [[block.tolist() for block in blocks], payloads]
    threads = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | threads,
    )
    assert json.loads(done.stdout) == [expected, 2]


def float_bits(found, blocks):
    """What blocks cost by the prior itself, in bits."""
    with torch.no_grad():
        nats = [-found.module.log_prob(block[None]).double().sum() for block in blocks]
    return [float(x) / math.log(2) for x in nats]


def check_rate(found, blocks):
    coder, expected = PriorCodes(found), float_bits(found, blocks)
    assert sum(coder.bits(blocks)) < 1.001 * sum(expected)
    assert sum(coder.bits(blocks)) > 0.99 * sum(expected)
    for payload, bits in zip(coder.encode(blocks), expected, strict=True):
        assert len(payload) <= 1.01 * bits / 8 + 8


@pytest.mark.parametrize("name", NAMES)
def test_a_trained_prior_s_bits_are_those_of_float32(name):
    transition = sources.residual_like(3, 5)
    prior = make(name, (3, 5), local=False, labels=0, channels=16, dropout=0.0)
    train = sources.draw(transition, (3, 5), 100, 64, seed=1)
    if hasattr(prior, "fit"):
        prior.fit(train)
    else:
        prior = sources.learn(prior, train, steps=40)
    check_rate(wrapped(prior, name), list(sources.draw(transition, (3, 5), 4, 200, seed=2)))


@pytest.mark.slow
@pytest.mark.skipif(not UNITS.is_dir(), reason="AUDIOVQ_TEST_UNITS names no units")
def test_bits_of_real_units_are_those_of_float32():
    """AUDIOVQ_TEST_UNITS and AUDIOVQ_TEST_PRIORS: units, and priors trained on them, by commas."""
    from audiovq import units

    records = [record.codes for record in units.load(UNITS).select("test")][:20]
    for folder in os.environ["AUDIOVQ_TEST_PRIORS"].split(","):
        check_rate(priors.load(folder), list(torch.cat(records, dim=1).split(3000, dim=1)))


@given(st.binary(max_size=40), st.integers(1, 30))
@settings(deadline=None, max_examples=40)
def test_any_bytes_give_codes_or_an_error(data, frames):
    for sizes, coder in CODERS.items():
        try:
            (found,) = coder.decode([data], [frames])
        except AudioVQError:
            continue
        assert found.shape == (len(sizes), frames)
        assert ((found >= 0) & (found < torch.tensor(sizes).view(-1, 1))).all()


CODERS = {sizes: PriorCodes(trained("wavenet", sizes)) for sizes in SIZES}


def test_damage_is_an_error_or_other_codes():
    coder, blocks = CODERS[5,], blocks_of((5,), [60])
    (payload,) = coder.encode(blocks)
    for place in range(0, len(payload), 3):
        torn = payload[:place] + bytes([payload[place] ^ 16]) + payload[place + 1 :]
        try:
            assert not same(coder.decode([torn], [60]), blocks)
        except AudioError as error:
            assert "damaged" in str(error)  # noqa: PT017
    with pytest.raises(AudioError, match="end before"):
        coder.decode([payload[:5]], [500])


def test_codes_that_do_not_fit_are_refused():
    coder = CODERS[4, 6, 5]
    for codes in (torch.zeros(2, 4), torch.zeros(3, 0)):
        with pytest.raises(ConfigError, match="3 rows of at least one frame"):
            coder.encode([codes.long()])
    for code in (-1, 4):
        with pytest.raises(ConfigError, match="codebooks of"):
            coder.encode([torch.full((3, 2), code)])


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_read_once(name):
    """So that the fingerprint stays that of the bytes."""
    found, blocks = trained(name, (5,)), blocks_of((5,), [30])
    coder = PriorCodes(found)
    before = coder.encode(blocks)
    if hasattr(found.module, "fit"):
        found.module.fit(blocks)
    for weight in found.module.parameters():
        torch.nn.init.uniform_(weight, -0.5, 0.5)
    assert coder.encode(blocks) == before
    assert PriorCodes(found).encode(blocks) != before


def test_the_fingerprint_is_the_prior_s():
    found = trained("wavenet", (5,))
    assert PriorCodes(found).fingerprint == found.fingerprint()
