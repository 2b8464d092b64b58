"""Errors a caller can cause and fix; a message gives the value, what is accepted and the fix."""


class AudioVQError(Exception):
    """Base of every error the command line reports in one line with exit code 2."""


class ConfigError(AudioVQError):
    """A setting is unknown, has an unaccepted value, or does not fit the others."""


class AudioError(AudioVQError):
    """An audio file or waveform cannot be used."""


class ManifestError(AudioVQError):
    """A manifest is missing, torn, of another version, or breaks its own rules."""


class CheckpointError(AudioVQError):
    """A model folder, checkpoint or units folder cannot be read or does not fit."""


class CompressedFileError(AudioVQError):
    """A compressed file is damaged, hostile, or of another model or prior."""


class NonFiniteError(AudioVQError):
    """NaN or infinity appeared where it must not; the message names where first."""


class DistributedError(AudioVQError):
    """Another process died or hangs; the message names its rank and step."""


class PeerError(DistributedError):
    """The main process failed before this one's turn; it says why itself."""
