"""The figures an evaluation gives: what each means, and one value with its interval."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """What a figure is.

    Attributes:
        label: for tables.
        unit: "" for a pure number.
        better: `higher`, `lower`, or "" where neither is better by itself.
        definition: one sentence.
        digits: decimals worth printing.
        per_frame: whether it is counted over frames of codes and not over utterances.
    """

    label: str
    unit: str
    better: str
    definition: str
    digits: int = 2
    per_frame: bool = False


@dataclass(frozen=True)
class Value:
    """One figure of a report.

    Attributes:
        name: key in `METRICS`.
        value: the figure.
        low: lower end of the 95 % interval; None if there is none.
        high: upper end.
        interval: how the interval was made.
        count: utterances (reconstruction, speed) or frames (codebook) behind the figure.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    interval: str = ""
    count: int = 0

    @property
    def metric(self) -> Metric:
        """What the figure is."""
        return METRICS[self.name]

    def text(self) -> str:
        """Return the figure as a table shows it, without its unit."""
        return f"{self.value:,.{self.metric.digits}f}"

    def interval_text(self) -> str:
        """Return the interval as a table shows it; "" if there is none."""
        if self.low is None or self.high is None:
            return ""
        digits = self.metric.digits
        return f"[{self.low:,.{digits}f}, {self.high:,.{digits}f}]"


METRICS: dict[str, Metric] = {
    "log_mel_distance": Metric(
        "log-mel distance",
        "dB",
        "lower",
        "mean absolute difference of 80-band log-mel levels (64 ms windows, 16 ms steps), levels "
        "more than 80 dB under the original's highest counted as that; mean over utterances",
    ),
    "stft_distance": Metric(
        "STFT distance",
        "",
        "lower",
        "spectral convergence plus mean absolute difference of log magnitudes (nepers), averaged "
        "over windows of 256, 512, 1024 and 2048 samples; mean over utterances",
        3,
    ),
    "si_sdr": Metric(
        "SI-SDR",
        "dB",
        "higher",
        "scale-invariant signal-to-distortion ratio of the zero-mean waveforms, limited to "
        "[-50, 100] dB; negative where phase is not kept; mean over utterances",
    ),
    "stoi": Metric(
        "STOI",
        "",
        "higher",
        "short-time objective intelligibility (pystoi, not extended), up to 1; needs about 0.4 s "
        "of speech; mean over utterances",
        3,
    ),
    "estoi": Metric(
        "ESTOI",
        "",
        "higher",
        "extended short-time objective intelligibility (pystoi), which also sees modulated noise; "
        "at most 1; mean over utterances",
        3,
    ),
    "pesq_wb": Metric(
        "PESQ-WB",
        "MOS-LQO",
        "higher",
        "ITU-T P.862.2 wide-band score at 16 kHz, about 1 to 4.6; not of models under 16 kHz; mean "
        "over utterances",
    ),
    "pesq_nb": Metric(
        "PESQ-NB",
        "MOS-LQO",
        "higher",
        "ITU-T P.862 narrow-band score at 8 kHz mapped by P.862.1, about 1 to 4.5; mean over "
        "utterances",
    ),
    "clipped": Metric(
        "clipped samples",
        "%",
        "lower",
        "share of the reconstruction's samples outside [-1, 1], which a file or a player would "
        "clip; scores are of the unclipped; mean over utterances",
        3,
    ),
    "f0_rmse": Metric(
        "F0 error, RMSE",
        "cents",
        "lower",
        "root mean square difference of the fundamental frequency over frames of 10 ms voiced in "
        "both, gross errors included (librosa pYIN and YIN, 60 to 500 Hz); mean over utterances",
        1,
    ),
    "f0_median_error": Metric(
        "F0 error, median",
        "cents",
        "lower",
        "median absolute difference over the same frames; mean over utterances",
        1,
    ),
    "f0_gross_error": Metric(
        "gross pitch errors",
        "%",
        "lower",
        "share of the same frames whose pitch is off by more than 20 %; mean over utterances",
    ),
    "voicing_error": Metric(
        "voicing errors",
        "%",
        "lower",
        "share of frames voiced in one and unvoiced in the other; mean over utterances",
    ),
    "speaker_similarity": Metric(
        "speaker similarity",
        "",
        "higher",
        "cosine of the vectors that --speaker-model gives for original and reconstruction; mean "
        "over utterances",
        3,
    ),
    "wer": Metric(
        "word errors",
        "%",
        "lower",
        "word error rate of --asr's transcript against the manifest's text, errors over words of "
        "all utterances; lower case, no punctuation",
    ),
    "cer": Metric(
        "character errors", "%", "lower", "the same of characters, single spaces included"
    ),
    "wer_of_original": Metric(
        "word errors on the original",
        "%",
        "",
        "what the same recogniser makes wrong of the original speech",
    ),
    "cer_of_original": Metric(
        "character errors on the original", "%", "", "the same of characters"
    ),
    "wer_to_original": Metric(
        "word errors to the original",
        "%",
        "lower",
        "word error rate against the recogniser's own transcript of the original: what the system "
        "changed, right or wrong",
    ),
    "cer_to_original": Metric(
        "character errors to the original", "%", "lower", "the same of characters"
    ),
    "input_log_mel_distance": Metric(
        "log-mel distance of the input", "dB", "", "the same of the corrupted speech that was heard"
    ),
    "input_si_sdr": Metric(
        "SI-SDR of the input", "dB", "", "the same of the corrupted speech that was heard"
    ),
    "input_stoi": Metric(
        "STOI of the input", "", "", "the same of the corrupted speech that was heard", 3
    ),
    "usage": Metric(
        "codebook usage",
        "",
        "higher",
        "share of codes that occur at least once in the evaluated utterances",
        3,
        per_frame=True,
    ),
    "perplexity": Metric(
        "perplexity",
        "codes",
        "higher",
        "2 to the entropy of the code distribution over all evaluated frames, at most the "
        "codebook size (geometric mean over codebooks)",
        1,
        per_frame=True,
    ),
    "entropy": Metric(
        "entropy",
        "bit/frame",
        "",
        "plug-in entropy of the code distribution over all evaluated frames, summed over codebooks",
        3,
        per_frame=True,
    ),
    "entropy_corrected": Metric(
        "entropy, corrected",
        "bit/frame",
        "",
        "the same with the bias of a finite sample removed by the jackknife, at most log2 of the "
        "codebook size",
        3,
        per_frame=True,
    ),
    "bitrate": Metric(
        "nominal bitrate",
        "bit/s",
        "",
        "frames per second times log2 of the codebook size",
        1,
        per_frame=True,
    ),
    "payload_bitrate": Metric(
        "measured bitrate",
        "bit/s",
        "",
        "of anchors: bits of the coded frames per second of audio, without what a container adds",
        1,
    ),
    "unigram_bitrate": Metric(
        "unigram bitrate",
        "bit/s",
        "",
        "codes per second of audio times the plug-in entropy (as in ZeroSpeech 2019): what an "
        "ideal code that knows the test distribution would spend",
        1,
        per_frame=True,
    ),
    "coded_bitrate": Metric(
        "coded bitrate",
        "bit/s",
        "",
        "codes per second of audio times the cross-entropy under the training set's code "
        "distribution (one count added to each): what a code fixed beforehand spends",
        1,
        per_frame=True,
    ),
    "kl_bitrate": Metric(
        "KL rate",
        "bit/s",
        "",
        "divergence of the posteriors from the model's own Gaussian prior, in bits per second of "
        "audio: what sending samples of them costs with bits-back coding; of VAEs only, not of "
        "utterances over 60 s",
        1,
    ),
    "encode_rtf": Metric(
        "real-time factor, encode",
        "",
        "lower",
        "seconds of computation per second of audio, one utterance at a time, waveform to codes "
        "(or to embedding); audio reading and a first warm-up excluded",
        4,
    ),
    "decode_rtf": Metric(
        "real-time factor, decode",
        "",
        "lower",
        "seconds of computation per second of audio, one utterance at a time, codes (or "
        "embedding) to waveform",
        4,
    ),
    "peak_memory": Metric(
        "peak memory",
        "MiB",
        "",
        "largest resident set of this process so far, libraries included",
        0,
    ),
}
