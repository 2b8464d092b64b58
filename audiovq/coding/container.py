"""The blocks of a compressed file: where each lies, and that it is what was written.

    40 bytes                    header (`audiovq.coding.header`)
    8 bytes per block           CRC-32 of the block, then bytes of its payload; 4 bytes each
    the payloads, one by one

A block's CRC-32 is over its number (4 bytes), its codes (8 bytes each, row by row) and its payload,
numbers little endian: so that neither a decoder gone astray nor changed bytes that decode to the
same codes pass, nor a block in another's place.
"""

import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from jaxtyping import Int, Int64, UInt32
from torch import Tensor

from audiovq.coding.header import SIZE, Header, parse
from audiovq.errors import CompressedFileError

ENTRY = 8  # bytes per block in the index


def checksum(number: int, codes: Int[Tensor, "K T"], payload: bytes) -> int:
    """Return the CRC-32 of a block."""
    found = zlib.crc32(number.to_bytes(4, "little"))
    found = zlib.crc32(np.ascontiguousarray(codes.numpy(), "<i8").data, found)
    return zlib.crc32(payload, found)


def assemble(header: Header, checksums: Sequence[int], payloads: Sequence[bytes]) -> bytes:
    """Return the bytes of a whole file."""
    assert len(checksums) == len(payloads) == header.blocks
    sizes = [len(p) for p in payloads]
    index = np.array([checksums, sizes], "<u4").T.tobytes()
    return b"".join([header.to_bytes(), index, *payloads])


class Container:
    """A compressed file, open; holds the index, and reads payloads as they are asked for.

    Args:
        source: a path, or the bytes of a file.

    Attributes:
        name: of the file, for errors.
        header: what it says of itself.
        size: bytes in all.

    Raises:
        CompressedFileError: it is not a whole file of ours; looked at before memory is taken.
    """

    def __init__(self, source: str | Path | bytes) -> None:
        in_memory = isinstance(source, bytes)
        self.name = "the data" if in_memory else str(source)
        self._file: IO[bytes] = io.BytesIO(source) if in_memory else _open(Path(source))  # type: ignore[arg-type]
        try:
            self.size = self._file.seek(0, io.SEEK_END)
            self.header = parse(self._read(0, min(SIZE, self.size)), self.name)
            self._crcs, self._sizes = self._index()
        except BaseException:
            self._file.close()
            raise
        starts = np.concatenate([[0], np.cumsum(self._sizes)])
        self._starts = SIZE + ENTRY * self.header.blocks + starts

    def __enter__(self) -> "Container":  # noqa: PYI034  (beartype refuses Self here)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def payload(self, block: int) -> bytes:
        """Return the bytes of a block, by number."""
        return self._read(int(self._starts[block]), int(self._sizes[block]))

    def check(self, block: int, codes: Int[Tensor, "K T"], payload: bytes) -> None:
        """Compare a decoded block with its checksum.

        Raises:
            CompressedFileError: it is not what was written.
        """
        if checksum(block, codes, payload) != self._crcs[block]:
            raise CompressedFileError(
                f"{self.name} is damaged: the checksum of block {block + 1} of "
                f"{self.header.blocks} differs; copy it again"
            )

    def _index(self) -> tuple[UInt32[np.ndarray, "_"], Int64[np.ndarray, "_"]]:
        blocks = self.header.blocks
        body = SIZE + ENTRY * blocks
        if body > self.size:
            raise CompressedFileError(
                f"{self.name} states {self.header.seconds:.1f} s in {blocks} blocks, and has "
                f"{self.size} bytes, less than their index takes: cut off, or hostile"
            )
        entries = np.frombuffer(self._read(SIZE, ENTRY * blocks), "<u4").reshape(blocks, 2)
        sizes = entries[:, 1].astype(np.int64)
        if body + int(sizes.sum()) != self.size:
            raise CompressedFileError(
                f"{self.name} has {self.size} bytes where its index states "
                f"{body + int(sizes.sum())}: cut off, or damaged; copy it again"
            )
        return np.ascontiguousarray(entries[:, 0]), sizes

    def _read(self, start: int, size: int) -> bytes:
        try:
            self._file.seek(start)
            data = self._file.read(size)
        except OSError as error:
            raise CompressedFileError(f"cannot read {self.name}: {error.strerror}") from None
        if len(data) != size:
            raise CompressedFileError(f"{self.name} became shorter while it was read")
        return data


def _open(path: Path) -> IO[bytes]:
    if not path.is_file():  # of a pipe or a device, the size is not known
        what = "is not a file" if path.exists() else "does not exist"
        raise CompressedFileError(f"{path} {what}; a compressed file of `audiovq encode` is wanted")
    try:
        return path.open("rb")
    except OSError as error:
        raise CompressedFileError(f"cannot read {path}: {error.strerror}") from None
