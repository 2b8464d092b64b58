"""Code sequences as few bytes, and back: range coding with a prior, files of compressed speech."""

from typing import TYPE_CHECKING

from audiovq.lazy import attributes

if TYPE_CHECKING:
    from audiovq.coding.avq import codes_of, compress, compress_blocks, decompress
    from audiovq.coding.container import Container

__all__ = ["Container", "codes_of", "compress", "compress_blocks", "decompress"]

__getattr__ = attributes(
    __name__,
    {
        "Container": "audiovq.coding.container",
        "codes_of": "audiovq.coding.avq",
        "compress": "audiovq.coding.avq",
        "compress_blocks": "audiovq.coding.avq",
        "decompress": "audiovq.coding.avq",
    },
)
