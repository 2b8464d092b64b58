"""What a measure raises where it has no value."""


class Undefined(Exception):  # noqa: N818  (not an error: a value that does not exist)
    """A measure has no value for an utterance; the message says why."""
