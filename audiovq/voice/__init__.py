"""Voice conversion: what is said by one speaker, said in the voice of another.

`convert(model, x, condition)`, where the condition is `model.speaker_index(["p225"])`, a speaker of
the model's table, or `hear(model, reference, sample_rate)`, whoever speaks in a recording.
"""

from audiovq.voice.convert import convert, convert_file
from audiovq.voice.fit import fit_reference
from audiovq.voice.reference import hear

__all__ = ["convert", "convert_file", "fit_reference", "hear"]
