import numpy as np
import pytest
import torch

from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError, ConfigError
from audiovq.eval.speaker_similarity import SpeakerJudge
from tests.helpers import noise

RATE = 16000
RECORD = Record(id="u", path="u.wav", sample_rate=RATE, num_samples=RATE)


def embed(x, sample_rate):
    """A toy: levels of four bands."""
    assert x.dtype == np.float32
    bands = np.array_split(np.abs(np.fft.rfft(x)), 4)
    return torch.tensor([float(b.mean()) for b in bands])


def broken(x, sample_rate):
    return np.full(3, np.nan)


NOT_CALLABLE = 3


def judge(name):
    return SpeakerJudge(f"{__name__}.{name}")


def only(verdicts):
    return [v.scores["speaker_similarity"] for v in verdicts]


def test_it_is_the_cosine_of_the_vectors():
    x, y = noise(1, RATE), torch.cumsum(noise(1, RATE, seed=3), -1) * 0.01
    a, b = (embed(w[0, 0].numpy(), RATE).numpy() for w in (x, y))
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    same, other, louder = only(judge("embed")(RECORD, x, [x, y, 0.5 * x], RATE))
    assert same == pytest.approx(1)
    assert louder == pytest.approx(1)
    assert other == pytest.approx(cosine, abs=1e-6)
    assert other < 0.9


def test_what_has_no_voice_says_why():
    x, zeros = noise(1, RATE), torch.zeros(1, 1, RATE)
    assert only(judge("embed")(RECORD, x, [zeros, x * torch.nan, x], RATE))[:2] == [
        "the reconstruction is silent",
        "the reconstruction holds NaN or infinity",
    ]
    assert only(judge("embed")(RECORD, zeros, [x, x], RATE)) == ["the original is silent"] * 2
    short = noise(1, 7000)
    assert only(judge("embed")(RECORD, short, [short], RATE)) == ["shorter than 0.5 s"]
    assert only(judge("broken")(RECORD, x, [x], RATE)) == [
        "the speaker model gives no vector for the original"
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.at_all", "'nothing.at_all': No module named 'nothing'"),
        ("plain", "'plain'.*hf:FOLDER"),
        (f"{__name__}.missing", "has no attribute 'missing'"),
        (f"{__name__}.NOT_CALLABLE", "is a int, and no callable"),
    ],
)
def test_what_is_no_callable_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        SpeakerJudge(name)


@pytest.fixture(scope="module")
def xvector(tmp_path_factory):
    """A tiny random WavLM with an x-vector head."""
    from audiovq import _torchaudio  # noqa: F401

    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.WavLMConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8, 8), conv_stride=(10, 16), conv_kernel=(10, 16), num_feat_extract_layers=2,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, tdnn_dim=(8, 8, 8, 8, 16),
        xvector_output_dim=8, num_ctc_classes=4, num_buckets=8, max_bucket_distance=16,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("xvector")
    model = transformers.WavLMForXVector(config)
    for weight in model.parameters():  # fresh ones are so small that only rounding is left
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


def test_a_transformers_model_gives_the_vectors_it_gives_alone(xvector):
    import transformers

    x, y = noise(1, RATE), noise(1, RATE, seed=3) ** 2
    found = SpeakerJudge(f"hf:{xvector}")(RECORD, x, [x, y], RATE)
    model = transformers.WavLMForXVector.from_pretrained(xvector).eval()
    with torch.no_grad():
        vectors = [
            model(((w - w.mean()) / (w.var(correction=0) + 1e-7).sqrt())[0]).embeddings[0]
            for w in (x, y)
        ]
    cosine = float(torch.cosine_similarity(*vectors, dim=0))
    assert only(found) == pytest.approx([1, cosine], abs=1e-5)
    resampled = SpeakerJudge(f"hf:{xvector}")(RECORD, x[..., :8000], [x[..., :8000]], 8000)
    assert only(resampled) == pytest.approx([1])


def test_a_model_that_was_not_trained_for_it_is_refused(xvector, tmp_path):
    import transformers

    config = transformers.AutoConfig.from_pretrained(xvector)
    transformers.WavLMModel(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="weights missing.: it was not trained for this"):
        SpeakerJudge(f"hf:{tmp_path}")
    with pytest.raises(CheckpointError, match="no folder .*nowhere; give one, or OWNER/NAME"):
        SpeakerJudge(f"hf:{tmp_path}/nowhere")


def test_a_folder_never_reaches_for_the_network(xvector, monkeypatch):
    import transformers

    seen = []
    real = transformers.AutoModelForAudioXVector.from_pretrained

    def spy(*args, **kwargs):
        seen.append(kwargs)
        return real(*args, **kwargs)

    monkeypatch.setattr(transformers.AutoModelForAudioXVector, "from_pretrained", spy)
    SpeakerJudge(f"hf:{xvector}")
    assert seen[0]["local_files_only"] is True
    assert seen[0]["use_safetensors"] is True
    assert seen[0]["trust_remote_code"] is False
