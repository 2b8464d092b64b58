"""The figures that `evaluate-units` gives: what each means, and one value with its interval."""

from dataclasses import dataclass

from audiovq.eval.values import Metric


@dataclass(frozen=True)
class Figure:
    """One figure on units.

    Attributes:
        name: key in `METRICS`.
        value: the figure.
        detail: which variant, such as `triphone, within, identity`; "" where there is one.
        low: lower end of the 95 % interval; None if there is none.
        high: upper end.
        interval: how the interval was made.
        count: how many of `over` are behind it; 0 where that says nothing.
        over: what was counted: frames, speakers ...
        lowest: the smallest over speakers (or draws); None where not asked.
        highest: the largest.
    """

    name: str
    value: float
    detail: str = ""
    low: float | None = None
    high: float | None = None
    interval: str = ""
    count: int = 0
    over: str = ""
    lowest: float | None = None
    highest: float | None = None

    @property
    def metric(self) -> Metric:
        """What the figure is."""
        return METRICS[self.name]

    @property
    def key(self) -> str:
        """Name and variant, unique in a report."""
        return f"{self.name}/{self.detail.replace(', ', '/')}" if self.detail else self.name

    @property
    def better(self) -> str:
        """Which direction is better: `higher`, `lower`, or "" also for chance and ceilings."""
        return "" if REFERENCES & set(self.detail.split(", ")) else self.metric.better

    @property
    def label(self) -> str:
        """Name and variant as a table shows them."""
        return f"{self.metric.label}, {self.detail}" if self.detail else self.metric.label

    def text(self) -> str:
        """Return the figure as a table shows it, without its unit."""
        return f"{self.value:,.{self.metric.digits}f}"

    def interval_text(self) -> str:
        """Return the interval as a table shows it; "" if there is none."""
        return self._span(self.low, self.high, "[]")

    def range_text(self) -> str:
        """Return the smallest and largest as a table shows them; "" if there are none."""
        return self._span(self.lowest, self.highest, "()")

    def _span(self, low: float | None, high: float | None, marks: str) -> str:
        if low is None or high is None:
            return ""
        digits = self.metric.digits
        return f"{marks[0]}{low:,.{digits}f}, {high:,.{digits}f}{marks[1]}"


def within(
    interval: tuple[float, float] | None, low: float, high: float
) -> tuple[float, float] | tuple[None, None]:
    """Return an interval cut to what the figure can be, as `low` and `high` of a `Figure`."""
    return (None, None) if interval is None else (max(low, interval[0]), min(high, interval[1]))


CEILING = "MFCC frames"
# variants that say what a figure is worth and not what the units are
REFERENCES = frozenset((CEILING, "labels shuffled", "commonest label", "chance"))

_SHIFTED = (
    "the same with the codes shifted circularly in time against the phones (all aligned utterances "
    "end to end, by one random number of frames, at least 1 s): mean of 20 seeded draws, their "
    "smallest and largest beside it; what a code of that size and pace reaches by chance"
)
_CORRECTED = "(value - shifted) / (1 - shifted): 0 is chance, 1 is perfect"

METRICS: dict[str, Metric] = {
    # rates
    "nominal_bitrate": Metric(
        "nominal bitrate", "bit/s", "", "frames per second times log2 of the codebook size, summed "
        "over all rows of codes: the cost of fixed-length codes", 1,
    ),
    "unigram_bitrate": Metric(
        "unigram bitrate", "bit/s", "", "ZeroSpeech 2019: N / D * H(s), N frames (each "
        "recording's last, partly filled one too) in D seconds of audio, H the entropy of the "
        "codes in bits, repeats counted; rows of codes added up: what an ideal code costs that "
        "knows how often each code occurs here", 1,
    ),
    "run_bitrate": Metric(
        "bitrate of runs", "bit/s", "", "repeats removed: runs per second times the entropy of "
        "their codes; durations are lost, so this is no rate of the signal", 1,
    ),
    "run_duration_bitrate": Metric(
        "bitrate of runs and durations", "bit/s", "", "runs per second times (entropy of their "
        "codes + entropy of a run's number of frames given its code): durations kept", 1,
    ),
    "trained_unigram_bitrate": Metric(
        "unigram bitrate, trained", "bit/s", "", "what the codes cost by how often each was in the "
        "prior's training data, half a count added to each (cross-entropy)", 1,
    ),
    "prior_bitrate": Metric(
        "prior-coded bitrate", "bit/s", "", "minus log2 of the probability that the prior "
        "gives each utterance, whole and on its own, per second of audio: what an ideal arithmetic "
        "coder needs that has the prior; only with --prior", 1,
    ),
    "frame_rate": Metric("frame rate", "Hz", "", "codes of one row per second", 2),
    "run_rate": Metric(
        "run rate", "Hz", "", "runs of equal codes per second, of the chosen row", 2
    ),
    "entropy": Metric(
        "entropy", "bit/frame", "", "plug-in entropy of the chosen row's codes over all frames", 3
    ),
    "entropy_corrected": Metric(
        "entropy, corrected", "bit/frame", "", "the same with the bias of a finite sample removed "
        "by the jackknife", 3,
    ),
    "perplexity": Metric(
        "unit perplexity", "codes", "", "2 to the plug-in entropy, at most the codebook size", 1
    ),
    "active_codes": Metric(
        "active codes", "codes", "", "codes of the chosen row that occur at least once", 0
    ),
    # phones
    "most_frequent_phone": Metric(
        "most frequent phone", "", "", "share of the commonest phone among labelled frames: the "
        "accuracy of always saying it", 3,
    ),
    "most_frequent_phone_no_silence": Metric(
        "most frequent phone, without silence", "", "", "the same among frames that are not silent",
        3,
    ),
    "phone_purity": Metric(
        "phone purity", "", "higher", "sum over units of their commonest phone's joint share: the "
        "accuracy of naming each unit's commonest phone, fitted and scored on the same frames "
        "(grows with the number of codes); silence is a phone", 3,
    ),
    "phone_purity_shifted": Metric("phone purity, shifted", "", "", _SHIFTED, 3),
    "phone_purity_corrected": Metric("phone purity, corrected", "", "higher", _CORRECTED, 3),
    "phone_purity_no_silence": Metric(
        "phone purity, without silence", "", "higher", "phone purity of the frames not silent", 3
    ),
    "cluster_purity": Metric(
        "cluster purity", "", "", "sum over phones of their commonest unit's joint share; falls as "
        "there are more codes", 3,
    ),
    "pnmi": Metric(
        "PNMI", "", "higher", "phone-normalised mutual information I(phone; unit) / H(phone), the "
        "share of what there is to know about the phone that the unit tells; grows with the number "
        "of codes; silence is a phone", 3,
    ),
    "pnmi_shifted": Metric("PNMI, shifted", "", "", _SHIFTED, 3),
    "pnmi_corrected": Metric("PNMI, corrected", "", "higher", _CORRECTED, 3),
    "pnmi_no_silence": Metric(
        "PNMI, without silence", "", "higher", "PNMI of the frames not silent", 3
    ),
    "phone_entropy": Metric("phone entropy", "bit", "", "H(phone) over labelled frames", 3),
    "mutual_information": Metric(
        "mutual information", "bit", "higher", "I(phone; unit) over labelled frames", 3
    ),
    "phone_accuracy": Metric(
        "phone accuracy, new speaker", "", "higher", "each unit named by its commonest phone among "
        "all other speakers (units these never used: their commonest phone), scored on the speaker "
        "left out; mean over speakers, each counting once, smallest and largest beside it; silence "
        "is a phone", 3,
    ),
    "phone_accuracy_shifted": Metric("phone accuracy, new speaker, shifted", "", "", _SHIFTED, 3),
    "phone_accuracy_no_silence": Metric(
        "phone accuracy, new speaker, without silence", "", "higher", "the same, fitted and scored "
        "on frames that are not silent", 3,
    ),
    "one_to_one_accuracy": Metric(
        "one-to-one accuracy", "", "higher", "share of frames right where each phone may have one "
        "unit only, the best such choice (Hungarian); fitted and scored on the same frames", 3,
    ),
    "phone_error_rate": Metric(
        "phone error rate", "", "lower", "units named as for the accuracy of a new speaker, equal "
        "neighbours joined, against the phones of the alignment (joined too, silence a phone): "
        "edits / phones, over all utterances; frames without a phone are "
        "passed over; over 1 where units change oftener than phones", 3,
    ),
    # segments
    "boundary_precision": Metric(
        "boundary precision", "", "higher", "share of the instants where the unit changes that hit "
        "a phone boundary: within 20 ms, and nearer to it than to the next; one hit for each "
        "boundary", 3,
    ),
    "boundary_recall": Metric(
        "boundary recall", "", "higher", "share of the phone boundaries that are hit", 3
    ),
    "boundary_f1": Metric(
        "boundary F1", "", "higher", "harmonic mean of the two; rewards cutting too often", 3
    ),
    "boundary_f1_shifted": Metric("boundary F1, shifted", "", "", _SHIFTED, 3),
    "over_segmentation": Metric(
        "over-segmentation", "", "", "recall / precision - 1: how many more boundaries the units "
        "have than the phones, relative", 3,
    ),
    "r_value": Metric(
        "R-value", "", "higher", "1 - (sqrt((1 - R)^2 + OS^2) + |R - 1 - OS| / sqrt 2) / 2 "
        "(Rasanen et al. 2009): 1 is perfect, punishes cutting too often; may be under 0", 3,
    ),
    "r_value_shifted": Metric("R-value, shifted", "", "", _SHIFTED, 3),
    "unit_segment": Metric(
        "mean run of units", "ms", "", "frames over runs, times the frame's length", 1
    ),
    "phone_segment": Metric(
        "mean phone", "ms", "", "labelled time over phones, equal neighbours joined", 1
    ),
    # discrimination
    "abx": Metric(
        "ABX error", "", "lower", "how often x, a phone in the same context as a and b, is nearer "
        "to b (another phone) than to a (the same), ties half; dynamic time warping; mean over "
        "contexts, then speakers, then ordered pairs of phones; 39 phones, closures are silence, "
        "silence is never asked about; chance .5. Triphone: the stretch from the phone before to "
        "the one after, phoneme: the phone alone (what lies between rows of the alignment counts "
        "to neither); within: a, b and x of one speaker, across: x of another; identity: distance "
        "0 or 1 of unit ids, euclidean and angular: of the vectors that codes stand for; without "
        "SA: without TIMIT's two sentences that all speakers read", 3,
    ),
    # what else is in the codes, of the chosen row
    "speaker_accuracy": Metric(
        "speaker recognised", "", "lower", "accuracy of a linear probe that names the speaker of "
        "an utterance from shares of its units: trained on three quarters of each speaker's "
        "utterances, tested on the others, no sentence on both sides, repeated splits; channel and "
        "session included; beside the same with labels shuffled, and on MFCC frames, the ceiling",
        3,
    ),
    "verification_eer": Metric(
        "speaker verification EER", "", "higher", "equal error rate of telling whether two halves "
        "of recordings, one of each speaker, are of the same, from shares of their units; "
        "recording channel included; chance .5", 3,
    ),
    "verification_rank1": Metric(
        "speaker rank 1", "", "lower", "share of halves whose most similar other half is their own "
        "recording's; recording channel included", 3,
    ),
    "label_accuracy": Metric(
        "word recognised", "", "higher", "accuracy of naming the utterance's text, out of few, "
        "from its units, each speaker left out in turn, mean over speakers: linear, from shares of "
        "units in thirds of the utterance; nearest, by edit distance of runs; on MFCC frames the "
        "same, or by dynamic time warping", 3,
    ),
    "unit_edit_distance": Metric(
        "unit edit distance", "", "lower", "edits between the runs of units of perturbed and of "
        "clean speech, over the clean ones' number (Gat et al. 2022); mean over utterances; "
        "chance: against itself turned round by half its length", 3,
    ),
    "frames_changed": Metric(
        "frames changed", "", "lower", "share of frames with another unit under the same "
        "perturbation, where frames still correspond in time", 3,
    ),
}  # fmt: skip
