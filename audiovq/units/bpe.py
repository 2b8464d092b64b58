"""Unit BPE: frequent sequences of units merged into one token, by sentencepiece.

Each unit is written as one private-use character (U+F0000 on, then U+100000 on), so that any
reader of sentencepiece models can apply the merges. Ids are sentencepiece's usual ones: 0 unknown
(never produced, since every unit has a piece of its own), 1 pad, 2 bos, 3 eos, then the merges
and single units.

Source: byte-pair encoding of deduplicated units, as in the speech-integration models of
A. Keshwani (huggingface.co/anilkeshwani).
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from audiovq.errors import CheckpointError, ConfigError
from audiovq.files import atomic_write
from audiovq.units.optional import need
from audiovq.units.reading import Units
from audiovq.units.record import UnitRecord
from audiovq.units.tokens import Tokenizer, Tokens, Vocabulary

_PLANE = 0xFFFE  # private-use characters in each of planes 15 and 16
MAX_UNITS = 2 * _PLANE
_SPECIALS = 4  # unk, pad, bos, eos
_CHUNK = 4096  # units per training sentence: longer ones are passed over without a word
_LONGEST = 64  # units in a merged token


class UnitBPE:
    """Merges of units.

    Args:
        model: a sentencepiece model that `train` made.

    Raises:
        CheckpointError: it is not one.
    """

    pad, bos, eos = 1, 2, 3

    def __init__(self, model: bytes) -> None:
        self.model = model
        if not model:
            raise CheckpointError("not a model of unit BPE: it is empty")
        try:
            pieces = [self._processor.id_to_piece(i) for i in range(self._processor.vocab_size())]
            self._units = [[_unit(c) for c in p] for p in pieces[_SPECIALS:]]
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"not a model of unit BPE: {error}") from None
        self.size = len(pieces)
        self.units = len({u[0] for u in self._units if len(u) == 1})

    def __getstate__(self) -> dict[str, bytes]:
        return {"model": self.model}  # what a loader's worker is sent

    def __setstate__(self, state: dict[str, bytes]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @classmethod
    def load(cls, path: str | Path) -> "UnitBPE":
        """Read a model from a file.

        Raises:
            CheckpointError: it is missing or not a model of units.
        """
        try:
            return cls(Path(path).read_bytes())
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror}") from None

    def save(self, path: str | Path) -> None:
        """Write the model in one step."""
        atomic_write(Path(path), self.model)

    @cached_property
    def _processor(self) -> Any:
        spm = need("sentencepiece", "unit BPE and its models")
        return spm.SentencePieceProcessor(model_proto=self.model)

    def encode(self, tokens: Tokens, *, bos: bool = False, eos: bool = False) -> Tokens:
        """Merge the tokens of one stream, which has no special tokens; times go with them.

        Raises:
            ConfigError: there are several streams, or units that the model does not know.
        """
        if tokens.ids.shape[0] != 1:
            raise ConfigError(_ONE_STREAM)
        units = tokens.ids[0]
        if len(units) and int(units.max()) >= self.units:
            raise ConfigError(
                f"unit {int(units.max())} given; this BPE model knows {self.units} units"
            )
        ids: list[int] = self._processor.encode(_text(units.tolist()))
        count = torch.tensor([len(self._units[i - _SPECIALS]) for i in ids], dtype=torch.int64)
        last = count.cumsum(0) - 1
        begin = tokens.first[0, last - count + 1]
        end = (tokens.first + tokens.durations)[0, last]
        final = int((tokens.first + tokens.durations).max()) if len(units) else 0
        before, after = [self.bos] * bos, [self.eos] * eos
        return Tokens(
            ids=_row(before, torch.tensor(ids, dtype=torch.int64), after),
            first=_row([0] * bos, begin, [final] * eos),
            durations=_row([0] * bos, end - begin, [0] * eos),
            num_samples=tokens.num_samples,
            hop_length=tokens.hop_length,
            sample_rate=tokens.sample_rate,
        )

    def decode(self, ids: Int[Tensor, "1 n"]) -> Int[Tensor, "1 m"]:
        """Return the units that tokens stand for; pad, bos and eos are dropped.

        Raises:
            ConfigError: an id is not of this vocabulary, or is the unknown one.
        """
        values = ids[0].tolist()
        wrong = [i for i in values if not 0 < i < self.size]
        if wrong:
            raise ConfigError(f"token {wrong[0]} is none of this BPE model's, 1 to {self.size - 1}")
        units = chain.from_iterable(self._units[i - _SPECIALS] for i in values if i >= _SPECIALS)
        return torch.tensor(list(units), dtype=torch.int64).unsqueeze(0)


class BPETokenizer:
    """A tokenizer of one stream followed by unit BPE.

    Attributes:
        vocabulary: number of ids, and the special ones.

    Raises:
        ConfigError: the tokenizer gives several streams, or more units than the model knows.
    """

    streams = 1

    def __init__(self, tokenizer: Tokenizer, bpe: UnitBPE) -> None:
        self.tokenizer, self.bpe = _plain(tokenizer), bpe
        self.config = tokenizer.config
        if self.tokenizer.units != bpe.units:
            raise ConfigError(
                f"the BPE model is of {bpe.units} units; the tokenizer has {self.tokenizer.units}"
            )
        self.vocabulary = Vocabulary(bpe.size, bpe.pad, bpe.bos, bpe.eos)

    def encode(self, record: UnitRecord) -> Tokens:
        """Return the tokens of an utterance."""
        tokens = self.tokenizer.encode(record)
        return self.bpe.encode(tokens, bos=self.config.bos, eos=self.config.eos)

    def decode(self, ids: Int[Tensor, "1 n"]) -> Int[Tensor, "K m"]:
        """Return codes; of deduplicated tokens, one column per run.

        Frames per run cannot be had back: a token's duration is that of all its units.
        """
        return self.tokenizer.decode(self.bpe.decode(ids))


def train(
    units: Units,
    tokenizer: Tokenizer,
    size: int,
    *,
    split: str | None = "train",
    max_utterances: int = 200_000,
) -> UnitBPE:
    """Learn merges from the units of a corpus; the same units give the same bytes.

    Args:
        units: the corpus.
        tokenizer: one stream; its special tokens are left out.
        size: ids wanted, special ones and single units included; fewer where the corpus has
            nothing more to merge.
        split: what to learn from; None: everything.
        max_utterances: of a larger corpus every so many-th utterance is used, evenly spread, since
            sentencepiece holds what it learns from in memory.

    Raises:
        ConfigError: several streams, no utterances, or a size under the number of units.
    """
    plain = _plain(tokenizer)
    step = -(-len(units) // max_utterances)
    chosen = islice(units.select(split), 0, None, step)
    sequences = (plain.encode(record).ids[0].tolist() for record in chosen)
    first = next(sequences, None)
    if first is None:
        raise ConfigError(
            f"the units have no utterance of the split {split!r} to learn BPE from: extract that "
            f"split too, or train on another"
        )
    return train_on(chain([first], sequences), plain.units, size)


def train_on(sequences: Iterable[Sequence[int]], units: int, size: int) -> UnitBPE:
    """Learn merges from sequences of units in [0, units); see `train`."""
    if units > MAX_UNITS:
        raise ConfigError(f"{units} units; unit BPE takes at most {MAX_UNITS}")
    if size < units + _SPECIALS:
        raise ConfigError(
            f"a BPE vocabulary of {size} cannot hold {units} units and {_SPECIALS} special "
            f"tokens: ask for more than {units + _SPECIALS}"
        )
    spm = need("sentencepiece", "unit BPE and its models")
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(
        # every unit by itself first, so that one not seen in training has a piece too
        # (`required_chars` leaves out those that do not occur)
        sentence_iterator=_sentences(chain(([u] for u in range(units)), sequences)),
        model_writer=out,
        model_type="bpe",
        vocab_size=size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        split_by_unicode_script=False,
        split_by_number=False,
        split_by_whitespace=False,
        max_sentence_length=4 * _CHUNK,  # bytes
        max_sentencepiece_length=_LONGEST,
        num_threads=1,
        unk_id=0,
        pad_id=UnitBPE.pad,
        bos_id=UnitBPE.bos,
        eos_id=UnitBPE.eos,
        minloglevel=2,
    )
    model = UnitBPE(out.getvalue())
    assert model.units == units
    return model


_ONE_STREAM = "unit BPE is of one stream: choose one codebook (--codebooks 0), or --pattern flatten"


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer without special tokens, which BPE adds itself."""
    if tokenizer.streams != 1:
        raise ConfigError(_ONE_STREAM)
    config = tokenizer.config.model_copy(update={"bos": False, "eos": False})
    t = tokenizer
    return Tokenizer(config, t.codebook_sizes, t.sample_rate, t.hop_length)


def _sentences(sequences: Iterable[Sequence[int]]) -> Iterator[str]:
    for units in sequences:
        for start in range(0, len(units), _CHUNK):
            yield _text(units[start : start + _CHUNK])


def _text(units: Iterable[int]) -> str:
    return "".join(chr(0xF0000 + u if u < _PLANE else 0x100000 + u - _PLANE) for u in units)


def _unit(character: str) -> int:
    point = ord(character)
    if 0xF0000 <= point < 0xF0000 + _PLANE:
        return point - 0xF0000
    if 0x100000 <= point < 0x100000 + _PLANE:
        return point - 0x100000 + _PLANE
    raise ValueError(f"it has the character U+{point:04X}, which stands for no unit")


def _row(before: list[int], x: Int[Tensor, "n"], after: list[int]) -> Int[Tensor, "1 m"]:
    parts = [torch.tensor(p, dtype=torch.int64) for p in (before, after)]
    return torch.cat([parts[0], x, parts[1]]).unsqueeze(0)
