"""`cgt serve` in its own process, and the resources that the process uses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessUsage:
    """Resident bytes, threads, open files and CPU seconds of a process."""

    rss_bytes: int
    threads: int
    open_files: int
    cpu_seconds: float


class ServerProcess:
    """A running server; `url` has no slash at the end."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.url, self._folder = url, Path("/proc") / str(process.pid)

    def read_usage(self) -> ProcessUsage:
        """Return the current usage. Linux only."""
        pages = int((self._folder / "statm").read_text().split()[1])
        threads = sum(1 for _ in (self._folder / "task").iterdir())
        files = sum(1 for _ in (self._folder / "fd").iterdir())
        times = (self._folder / "stat").read_text().rpartition(")")[2].split()[11:13]
        cpu = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
        return ProcessUsage(pages * os.sysconf("SC_PAGE_SIZE"), threads, files, cpu)


@contextmanager
def start_server(*args: object) -> Iterator[ServerProcess]:
    """Run `cgt serve` with these arguments on a free loopback port until the end of the block.

    The server's messages are copied to stderr. Raises RuntimeError if the server does not start or
    ends with an error.
    """
    cgt = Path(sys.executable).with_name("cgt")
    command = [str(cgt), "serve", "--port", "0", *map(str, args)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            sys.stderr.write(line)
            if line.startswith("open http"):
                break
        else:
            raise RuntimeError("the server did not start")
        yield ServerProcess(process, line.split()[1].split("?")[0].rstrip("/"))
    finally:
        process.terminate()
        sys.stderr.write(process.communicate()[1])
    if process.returncode:
        raise RuntimeError(f"the server exited with {process.returncode}")
