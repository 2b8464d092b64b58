import json

import numpy as np
import pytest
import torch

from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError
from audiovq.eval.edit import edit_distance
from audiovq.eval.word_error import NAMES, WordJudge, error_rate, normalise
from tests.helpers import noise

RATE = 16000
WORDS = ("the", "cat", "sat", "on", "mats")


def recogniser(x, sample_rate):
    """A toy: a word for each tenth of a second that is loud."""
    parts = np.array_split(x, 5)
    return " ".join(w for w, p in zip(WORDS, parts, strict=True) if np.abs(p).max() > 0.1)


def record(text):
    return Record(id="u", path="u.wav", sample_rate=RATE, num_samples=8000, text=text)


def with_words(*spoken):
    return torch.cat([torch.full((1, 1, 1600), 0.5 if w in spoken else 0.01) for w in WORDS], -1)


def test_errors_are_counted_against_the_text_and_against_the_original():
    judge = WordJudge(f"{__name__}.recogniser")
    x = with_words("the", "cat", "on", "mats")  # the recogniser misses "sat" in the original
    (found,) = judge(record("The cat SAT, on mats!"), x, [with_words("the", "cat", "mats")], RATE)
    assert found.scores["wer"] == pytest.approx(40)
    assert found.scores["wer_of_original"] == pytest.approx(20)
    assert found.scores["wer_to_original"] == pytest.approx(25)
    text, given = "the cat sat on mats", "the cat mats"
    assert found.scores["cer"] == pytest.approx(100 * edit_distance(text, given) / len(text))
    assert found.facts["transcript"] == given
    assert (found.facts["words"], found.facts["words_of_original"]) == (5, 4)
    assert set(found.scores) == set(NAMES)


def test_without_a_text_there_is_still_the_original():
    judge = WordJudge(f"{__name__}.recogniser")
    x = with_words("the", "cat")
    (found,) = judge(record(None), x, [with_words("the")], RATE)
    assert found.scores["wer"] == "the manifest has no text"
    assert found.scores["wer_to_original"] == 50
    (found,) = judge(record("!?"), with_words(), [x], RATE)
    assert found.scores["wer"] == "the manifest's text has no words"
    assert found.scores["cer_to_original"] == "nothing is recognised in the original"


def test_silence_and_broken_sound_are_refused():
    judge = WordJudge(f"{__name__}.recogniser")
    x = with_words("the")
    (found,) = judge(record("the"), x, [x * torch.nan], RATE)
    assert set(found.scores.values()) == {"the reconstruction holds NaN or infinity"}
    (found,) = judge(record("the"), torch.zeros(1, 1, 8000), [x], RATE)
    assert set(found.scores.values()) == {"the original is silent"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It\u2019s  A well-known  Fact.", "it's a well known fact"),
        ("'Tis the dogs'", "tis the dogs"),
        ("\uff21\uff22 caf\u00e9 cafe\u0301 Stra\u00dfe", "ab caf\u00e9 caf\u00e9 strasse"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        ("  \t...", ""),
        ("1803, e.g.", "1803 e g"),
    ],
)  # fmt: skip
def test_texts_are_compared_without_case_and_punctuation(text, expected):
    assert normalise(text) == expected
    assert normalise(expected) == expected


def test_error_rates_can_pass_a_hundred():
    assert error_rate(["a"], ["b", "c", "d"]) == 300
    assert error_rate("abc", "abc") == 0


@pytest.fixture(scope="module")
def ctc(tmp_path_factory):
    """A tiny random wav2vec 2.0 with letters."""
    from audiovq import _torchaudio  # noqa: F401

    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("ctc")
    letters = ["<pad>", "|", *"ETAON"]
    (folder / "vocab.json").write_text(json.dumps({c: i for i, c in enumerate(letters)}))
    torch.manual_seed(1)
    config = transformers.Wav2Vec2Config(
        vocab_size=len(letters), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, conv_dim=(8, 8), conv_stride=(10, 16), conv_kernel=(10, 16),
        num_feat_extract_layers=2, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    processor = transformers.Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer)
    processor.save_pretrained(folder)
    return folder


def test_a_ctc_model_writes_its_likeliest_letters(ctc):
    import transformers

    judge = WordJudge(f"hf:{ctc}")
    x = noise(1, RATE)
    (found,) = judge(record("eat a ton"), x, [x], RATE)
    assert found.scores["cer_to_original"] == 0
    model = transformers.Wav2Vec2ForCTC.from_pretrained(ctc).eval()
    with torch.no_grad():
        scaled = (x - x.mean()) / (x.var(correction=0) + 1e-7).sqrt()
        best = model(scaled[0]).logits[0].argmax(-1).tolist()
    letters = ["", " ", *"etaon"]
    merged = [b for a, b in zip([None, *best], best, strict=False) if a != b]
    assert found.facts["transcript"] == " ".join("".join(letters[b] for b in merged).split())
    assert found.facts["transcript"]


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    """A tiny random Whisper whose tokens are bytes."""
    from audiovq import _torchaudio  # noqa: F401

    transformers = pytest.importorskip("transformers")
    from tokenizers.pre_tokenizers import ByteLevel

    folder = tmp_path_factory.mktemp("whisper")
    vocab = {c: i for i, c in enumerate(sorted(ByteLevel.alphabet()))}
    vocab["<|endoftext|>"] = len(vocab)
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.WhisperTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt")
    )
    end = vocab["<|endoftext|>"]
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, num_mel_bins=80, max_source_positions=1500, max_target_positions=16,
        decoder_start_token_id=end, eos_token_id=end, bos_token_id=end, pad_token_id=end,
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    model = transformers.WhisperForConditionalGeneration(config)
    model.generation_config.max_length = 8
    model.save_pretrained(folder)
    extractor = transformers.WhisperFeatureExtractor()
    transformers.WhisperProcessor(extractor, tokenizer).save_pretrained(folder)
    return folder


def test_whisper_writes_up_to_thirty_seconds(whisper):
    judge = WordJudge(f"hf:{whisper}")
    x = noise(1, RATE)
    first, again = judge(record("a"), x, [x, x], RATE)
    assert first.facts["transcript"] == again.facts["transcript"]
    assert isinstance(first.scores["wer"], float)
    (long,) = judge(record("a"), torch.ones(1, 1, 31 * 1000), [x], 1000)
    assert set(long.scores.values()) == {"over 30 s, more than this recogniser hears at once"}


def test_a_model_that_does_not_write_is_refused(tmp_path):
    transformers = pytest.importorskip("transformers")
    transformers.ViTConfig().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="holds a vit; a CTC model"):
        WordJudge(f"hf:{tmp_path}")
