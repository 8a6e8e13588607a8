"""Everything that `cgt` raises on purpose, and the exit code each kind ends a command with.

    CgtError                1   something failed
    +-- UsageError          2   the request makes no sense: a bad flag, size or shape
    +-- MissingDependency   3   something has to be installed first
    +-- QualityError        4   the result is below the floor that was asked for
    +-- Interrupted         5   stopped by a signal, what was done so far is saved
    +-- SourceError         1   frames cannot be read
    +-- SinkError           1   frames cannot be written
    +-- ModelError          1   not a model, or not one that translates images
    +-- EngineError         1   the engine refused the model or failed while running it
    +-- DataError           1   training data is missing or unusable
    +-- CheckpointError     1   a checkpoint is missing, damaged or of another kind

Messages are one line: what is wrong, then what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class CgtError(Exception):
    """Base of all errors that `cgt` raises on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(CgtError, ValueError):
    """The request makes no sense as written."""

    exit_code = 2


class MissingDependency(CgtError, ImportError):
    """An optional package is needed and absent; the message names the extra that brings it."""

    exit_code = 3


class QualityError(CgtError):
    """A measured quality or speed is below the floor."""

    exit_code = 4


class Interrupted(CgtError):
    """A signal stopped the work; what was finished before it is kept."""

    exit_code = 5


class SourceError(CgtError, OSError):
    """Frames cannot be read from a source."""


class SinkError(CgtError, OSError):
    """Frames cannot be written to a sink."""


class ModelError(CgtError, ValueError):
    """A file is not a model, or not one that translates images."""


class EngineError(CgtError, RuntimeError):
    """An inference engine refused a model or failed while running it."""


class DataError(CgtError, OSError):
    """Training data is missing or unusable."""


class CheckpointError(CgtError, ValueError):
    """A checkpoint is missing, damaged, or of a kind that cannot be used here."""
