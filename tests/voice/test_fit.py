import numpy as np
import pytest
import torch

from audiovq.errors import ConfigError
from audiovq.voice.fit import fit_reference, ridge
from tests.helpers import noise, small_model, voices_model
from tests.voice.test_evaluate import RATE, corpus, speech  # noqa: F401  (a fixture)


@pytest.mark.parametrize("reference", [False, True])
def test_recordings_of_known_speakers_give_their_rows(corpus, reference, tmp_path):  # noqa: F811
    model = voices_model(reference=reference)
    fitted = fit_reference(model, corpus)
    x, table = noise(1, 300), fitted.decoder.table.weight
    assert torch.equal(fitted.encode(x), model.encode(x))
    who = model.speaker_index(["bob"])
    torch.testing.assert_close(
        fitted.reconstruct(x, condition=who), model.reconstruct(x, condition=who)
    )
    for row, name in enumerate(fitted.speakers, 1):
        voice = fitted.voice(speech(name, 50 + row, RATE))
        assert int((table[1:] - voice).norm(dim=1).argmin()) + 1 == row
    fitted.save(tmp_path / "model")
    again = __import__("audiovq").load(tmp_path / "model")
    torch.testing.assert_close(again.voice(noise(1, RATE)), fitted.voice(noise(1, RATE)))


def test_ridge_is_what_scikit_learn_finds():
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(40, 6)) * 3 + 1, rng.normal(size=(40, 2)), rng.random(40) + 0.1
    weight, bias = ridge(*(torch.from_numpy(v) for v in (x, y, w)))
    z = (x - x.mean(0)) / x.std(0, ddof=1)
    centre = (w[:, None] * y).sum(0) / w.sum()
    model = linear.Ridge(alpha=10.0, fit_intercept=False).fit(z, y - centre, sample_weight=w)
    found = x @ weight.numpy().T + bias.numpy()
    np.testing.assert_allclose(found, model.predict(z) + centre, atol=1e-9)


def test_models_and_corpora_that_do_not_do(corpus):  # noqa: F811
    with pytest.raises(ConfigError, match="takes none"):
        fit_reference(small_model(), corpus)
    with pytest.raises(ConfigError, match="recordings of 0 speakers of the model's table"):
        fit_reference(voices_model(), corpus, split="validation")
