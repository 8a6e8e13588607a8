"""Suppression of console output from libraries."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def suppress_output() -> Iterator[None]:
    """Drop warnings and what Python and C++ write to standard output and error.

    Errors are still raised.
    """
    saved_fds = [os.dup(1), os.dup(2)]
    devnull = os.open(os.devnull, os.O_WRONLY)
    _flush_std_streams()
    try:
        for number in (1, 2):
            os.dup2(devnull, number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _flush_std_streams()
        for number, old in zip((1, 2), saved_fds, strict=True):
            os.dup2(old, number)
            os.close(old)
        os.close(devnull)


def _flush_std_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
