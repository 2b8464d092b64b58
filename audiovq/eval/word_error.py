"""What a speech recogniser of the user's understands of a reconstruction.

Errors are counted twice: against the text of the manifest, and against what the same recogniser
makes of the original, so that its own errors are seen; its errors on the original are a figure
too. Texts are compared in lower case, without punctuation but apostrophes inside words, hyphens
read as spaces; numerals are not spelt out, so a recogniser that writes digits is charged for them.
"""

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import torch

from audiovq import audio
from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError
from audiovq.eval import plugged
from audiovq.eval.edit import edit_distance
from audiovq.eval.plugged import HF, Judge, Samples, Verdict, Wave

NAMES = ("wer", "cer", "wer_of_original", "cer_of_original", "wer_to_original", "cer_to_original")
# What a mean is weighted by, so that it is errors over words, of all utterances.
WEIGHTS = {
    "wer": "words", "cer": "characters", "wer_of_original": "words",
    "cer_of_original": "characters", "wer_to_original": "words_of_original",
    "cer_to_original": "characters_of_original",
}  # fmt: skip
WHISPER_SECONDS = 30.0

Transcribe = Callable[[Samples, int], str]  # waveform (L,), sample rate -> text


class WordJudge(Judge):
    """Word and character error rates, in per cent.

    Args:
        name: `hf:FOLDER`, `hf:OWNER/NAME` (a CTC model such as wav2vec 2.0, or Whisper and others
            that write text), or the dotted name of a callable (waveform, sample_rate) -> text.
        device: for a transformers model.

    Raises:
        ConfigError: there is no such callable, or transformers is not installed.
        CheckpointError: the model cannot be used.
    """

    names = NAMES

    def __init__(self, name: str, device: torch.device | str = "cpu") -> None:
        self.about = {
            "asr": name,
            "text": "NFKC, lower case, letters, digits and inner apostrophes; hyphens are spaces",
        }
        self.transcribe: Transcribe
        if name.startswith(HF):
            self.transcribe = _recogniser(name.removeprefix(HF), device)
        else:
            self.transcribe = plugged.dotted(name, "recogniser")

    def __call__(
        self, record: Record, x: Wave, x_hats: Sequence[Wave], sample_rate: int
    ) -> list[Verdict]:
        """Return the error rates of each reconstruction."""
        longest = getattr(self.transcribe, "longest", None)
        if longest is not None and x.shape[-1] > longest * sample_rate:
            why = f"over {longest:g} s, more than this recogniser hears at once"
            return [self.refuse(why)] * len(x_hats)
        if x.abs().max() < audio.SILENCE:
            return [self.refuse("the original is silent")] * len(x_hats)
        said = None if record.text is None else normalise(record.text)
        heard = normalise(self.transcribe(x[0, 0].numpy(), sample_rate))
        return [self._verdict(said, heard, y, sample_rate) for y in x_hats]

    def refuse(self, reason: str) -> Verdict:
        """Return the verdict that there is none."""
        return Verdict(dict.fromkeys(NAMES, reason))

    def _verdict(self, said: str | None, heard: str, x_hat: Wave, sample_rate: int) -> Verdict:
        if not torch.isfinite(x_hat).all():
            return self.refuse("the reconstruction holds NaN or infinity")
        given = normalise(self.transcribe(x_hat[0, 0].numpy(), sample_rate))
        scores: dict[str, float | str] = {}
        nothing = "the manifest has no text" if said is None else "the manifest's text has no words"
        for ending, text, hypothesis, why in (
            ("", said, given, nothing),
            ("_of_original", said, heard, nothing),
            ("_to_original", heard, given, "nothing is recognised in the original"),
        ):
            scores[f"wer{ending}"] = error_rate(text.split(), hypothesis.split()) if text else why
            scores[f"cer{ending}"] = error_rate(text, hypothesis) if text else why
        facts = {
            "transcript": given,
            "words": len((said or "").split()),
            "characters": len(said or ""),
            "words_of_original": len(heard.split()),
            "characters_of_original": len(heard),
        }
        return Verdict(scores, facts)


def normalise(text: str) -> str:
    """Return a text as it is compared: lower-case words, single spaces."""
    plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'").casefold()
    kept = "".join(c if _spoken(c) else " " for c in plain)
    return " ".join(word for w in kept.split() if (word := w.strip("'")))


def _spoken(character: str) -> bool:
    """Whether it is a letter, a mark on one, a digit or an apostrophe."""
    return unicodedata.category(character)[0] in "LMN" or character == "'"


def error_rate(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Return the edit distance in per cent of the reference's length, which is not 0."""
    return 100 * edit_distance(reference, hypothesis) / len(reference)


def _recogniser(place: str, device: torch.device | str) -> Transcribe:
    library = plugged.transformers()
    config = plugged.pretrained(library.AutoConfig, place)
    if type(config) in library.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING:
        return _Writer(place, device)
    if type(config) in library.MODEL_FOR_CTC_MAPPING:
        return _CTC(place, device)
    raise CheckpointError(
        f"{place} holds a {config.model_type}; a CTC model, or one that writes text such as "
        f"Whisper, is accepted"
    )


class _Hugging:
    """A recogniser of the transformers library and its processor."""

    kind = ""
    longest: float | None = None  # seconds

    def __init__(self, place: str, device: torch.device | str) -> None:
        library = plugged.transformers()
        self.model = plugged.weights(getattr(library, self.kind), place).to(device)
        self.processor = plugged.pretrained(library.AutoProcessor, place)
        self.device = device

    def _given(self, x: Samples, sample_rate: int) -> Any:
        rate = self.processor.feature_extractor.sampling_rate
        heard = audio.resample(torch.from_numpy(x), sample_rate, rate).numpy()
        return self.processor(heard, sampling_rate=rate, return_tensors="pt").to(self.device)


class _CTC(_Hugging):
    """The likeliest symbol of each frame, repeats and blanks left out."""

    kind = "AutoModelForCTC"

    @torch.no_grad()
    def __call__(self, x: Samples, sample_rate: int) -> str:
        best = self.model(**self._given(x, sample_rate)).logits.argmax(dim=-1)
        return str(self.processor.batch_decode(best)[0])


class _Writer(_Hugging):
    """The likeliest token after each other."""

    kind = "AutoModelForSpeechSeq2Seq"
    longest = WHISPER_SECONDS

    @torch.no_grad()
    def __call__(self, x: Samples, sample_rate: int) -> str:
        given = self._given(x, sample_rate)
        tokens = self.model.generate(**given, do_sample=False, num_beams=1)
        return str(self.processor.batch_decode(tokens, skip_special_tokens=True)[0])
