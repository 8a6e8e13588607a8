"""Worker process of one benchmark session.

    python -m cgt.benchmarks.harness.worker JOB.json RESULT.json

Each session runs in a fresh process. The cold start is then cold, the memory belongs to one engine
alone, and threads of two engines do not interfere. `run_session` is the parent's side.
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
    """Run one session in a fresh process.

    Raises:
        EngineError: The process died.
        CgtError: What the session raised.
    """
    with tempfile.TemporaryDirectory(prefix="cgt-bench-") as folder:
        job_file, result_file = Path(folder) / "job.json", Path(folder) / "result.json"
        job_file.write_text(json.dumps(asdict(job), default=str), encoding="utf-8")
        command = [*command_prefix, str(job_file), str(result_file)]
        completed = subprocess.run(command, capture_output=True, text=True, check=False)
        if completed.returncode != 0 or not result_file.exists():
            error_lines = [line for line in completed.stderr.splitlines() if line.strip()]
            reason = error_lines[-1].strip() if error_lines else f"exit code {completed.returncode}"
            raise errors.EngineError(f"the process that ran {job.engine} died: {reason}")
        document: dict[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
    if "error" in document:
        kind: type[errors.CgtError] = getattr(errors, document["error"])
        raise kind(document["text"])
    return EngineInfo(**document["engine_info"]), parse_session(document["session"])


def run_worker(arguments: Sequence[str], opener: OpenEngineFn | None = None) -> None:
    """Measure what the job file describes and write the result file."""
    from cgt.runtime.engines import open_engine
    from cgt.runtime.models.third_party import ModelFormat

    from .session import measure_session

    job_file, result_file = map(Path, arguments)
    values = json.loads(job_file.read_text(encoding="utf-8"))
    values["model"], values["size"] = Path(values["model"]), tuple(values["size"])
    if values["streams"] is not None:
        values["streams"] = tuple(values["streams"])
    if values["model_format"] is not None:
        values["model_format"] = ModelFormat(**values["model_format"])
    document: dict[str, Any]
    try:
        engine_info, session = measure_session(BenchmarkJob(**values), opener or open_engine)
        document = {"engine_info": asdict(engine_info), "session": asdict(session)}
    except errors.CgtError as error:
        document = {"error": type(error).__name__, "text": str(error)}
    result_file.write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    run_worker(sys.argv[1:])
