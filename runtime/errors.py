"""Exceptions that cgt raises, and the exit code of a command for each.

    CgtError                1   something failed
    +-- UsageError          2   the request is invalid: a bad flag, size or shape
    +-- MissingDependency   3   an optional package has to be installed first
    +-- QualityError        4   the result is below the requested quality or speed
    +-- Interrupted         5   stopped by a signal; finished work is saved
    +-- SourceError         1   frames cannot be read
    +-- SinkError           1   frames cannot be written
    +-- ModelError          1   not a model, or not one that translates images
    +-- EngineError         1   the engine refused the model or failed while running it
    +-- DataError           1   training data is missing or unusable
    +-- CheckpointError     1   a checkpoint is missing, damaged or of another type
        +-- GuessError      4   a checkpoint can be read in several ways

A message is one line: what is wrong, then what to do about it. That of a GuessError also has a line
for each property that is open. Passwords in it are masked.
"""

from __future__ import annotations

from typing import ClassVar

from .utils.log import mask_passwords


class CgtError(Exception):
    """Base class of all errors that cgt raises."""

    exit_code: ClassVar[int] = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*(mask_passwords(arg) if isinstance(arg, str) else arg for arg in args))


class UsageError(CgtError, ValueError):
    """The request is invalid."""

    exit_code = 2


class MissingDependency(CgtError, ImportError):
    """An optional package is missing; the message names the extra that installs it."""

    exit_code = 3


class QualityError(CgtError):
    """A measured quality or speed is below the requested minimum."""

    exit_code = 4


class Interrupted(CgtError):
    """A signal stopped the work; finished work is saved."""

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
    """A checkpoint is missing, damaged, or of a type that cannot be used here."""


class GuessError(CheckpointError):
    """The architecture of a checkpoint is a guess, which the user has not accepted.

    Attributes:
        code: FILE.py:CLASS of the code of the network, or a placeholder.
    """

    exit_code = 4

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code
