"""What units say besides the words: who speaks; and, of short labels, what is said.

Every probe gives an accuracy or an error with its interval, beside chance and beside the same
measure on MFCC frames. How much a unit tells depends on the probe: these are fixed, simple ones,
so the figures compare units, and are a lower bound of what is in them.

Units are integer arrays (T,), or (K, T) with a row per codebook. MFCC frames come from a function
of the utterance's place in the list, (T, D), called when they are needed.
"""

from audiovq.eval.estimate import Estimate
from audiovq.eval.probes._base import Probe
from audiovq.eval.probes.labels import LabelProbe, label_probe
from audiovq.eval.probes.speakers import speaker_probe
from audiovq.eval.probes.verification import Verification, equal_error_rate, verification

__all__ = [
    "Estimate",
    "LabelProbe",
    "Probe",
    "Verification",
    "equal_error_rate",
    "label_probe",
    "speaker_probe",
    "verification",
]
