"""What streams have in common: they are open until they are closed, as a `with` does."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

from audiovq.errors import ConfigError

_S = TypeVar("_S", bound="Closable")


class Closable(ABC):
    """Something that cannot be used any more once it is closed."""

    _closed = False

    @abstractmethod
    def close(self) -> None:
        """Let go of all memory."""

    def __enter__(self: _S) -> _S:  # noqa: PYI019  (beartype refuses Self here)
        self._check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigError("this stream is closed; open another with stream()")
