"""A session in a fresh process: python -m cgt.benchmarks.harness.worker JOB.json RESULT.json

Fresh, so that the cold start is cold, the memory is one engine's alone, and two engines' threads
do not meet. The parent's half is `run_session`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cgt.runtime import errors

from .results import SessionResult, parse_session
from .session import BenchmarkJob, EngineInfo, OpenEngineFn

WORKER_COMMAND = (sys.executable, "-m", "cgt.benchmarks.harness.worker")


def run_session(
    job: BenchmarkJob, command_prefix: Sequence[str] = WORKER_COMMAND
) -> tuple[EngineInfo, SessionResult]:
    """Raises what the session raised, and EngineError where its process died."""
    with tempfile.TemporaryDirectory(prefix="cgt-bench-") as folder:
        job_file, result_file = Path(folder) / "job.json", Path(folder) / "result.json"
        job_file.write_text(json.dumps(asdict(job), default=str), encoding="utf-8")
        command = [*command_prefix, str(job_file), str(result_file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not result_file.exists():
            error_lines = [line for line in done.stderr.splitlines() if line.strip()]
            why = error_lines[-1].strip() if error_lines else f"exit code {done.returncode}"
            raise errors.EngineError(f"the process that ran {job.engine} died: {why}")
        found: dict[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
    if "error" in found:
        kind: type[errors.CgtError] = getattr(errors, found["error"])
        raise kind(found["text"])
    return EngineInfo(**found["opened"]), parse_session(found["session"])


def run_worker(arguments: Sequence[str], opener: OpenEngineFn | None = None) -> None:
    """The child's half: measure what the job file says, write the result file."""
    from cgt.runtime.engines import open_engine

    from .session import measure_session

    job_file, result_file = map(Path, arguments)
    values = json.loads(job_file.read_text(encoding="utf-8"))
    values["model"], values["size"] = Path(values["model"]), tuple(values["size"])
    if values["streams"] is not None:
        values["streams"] = tuple(values["streams"])
    found: dict[str, Any]
    try:
        engine_info, session = measure_session(BenchmarkJob(**values), opener or open_engine)
        found = {"opened": asdict(engine_info), "session": asdict(session)}
    except errors.CgtError as error:
        found = {"error": type(error).__name__, "text": str(error)}
    result_file.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    run_worker(sys.argv[1:])
