"""Another segment of the same speaker, to hear the voice from: a pure function of the key."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from audiovq.data.manifest import Manifest, Record
from audiovq.data.segments import item_key


class References:
    """Segments of all speakers of a corpus.

    Args:
        manifest: the corpus.
        records: the recordings to draw from.
        size: samples of a segment.
        sample_rate: of the waveforms (Hz).
    """

    def __init__(
        self, manifest: Manifest, records: Sequence[Record], size: int, sample_rate: int
    ) -> None:
        self.manifest, self.size, self.sample_rate = manifest, size, sample_rate
        self._by_speaker: dict[str, list[Record]] = {}
        for record in records:
            if record.speaker is not None:
                self._by_speaker.setdefault(record.speaker, []).append(record)

    def load(self, record: Record, key: int) -> Float[Tensor, "1 1 L"]:
        """Return a segment of the record's speaker; of itself where no other is known.

        Raises:
            AudioError: the file cannot be read.
        """
        others = [r for r in self._same(record) if r.id != record.id] or [record]
        chosen = others[item_key(key, 0, 0) % len(others)]
        wanted = min(chosen.num_samples, -(-self.size * chosen.sample_rate // self.sample_rate))
        start = item_key(key, 0, 1) % (chosen.num_samples - wanted + 1)
        x = self.manifest.load(chosen, self.sample_rate, start=start, num_samples=wanted)
        return F.pad(x[..., : self.size], (0, max(0, self.size - x.shape[-1])))

    def _same(self, record: Record) -> Sequence[Record]:
        return () if record.speaker is None else self._by_speaker[record.speaker]
