"""A session in a fresh process: python -m cgt.benchmarks.worker JOB.json RESULT.json

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

from .results import Session, read_session
from .session import Job, Opened, Opener

PROGRAM = (sys.executable, "-m", "cgt.benchmarks.worker")


def run_session(job: Job, program: Sequence[str] = PROGRAM) -> tuple[Opened, Session]:
    """Raises what the session raised, and EngineError where its process died."""
    with tempfile.TemporaryDirectory(prefix="cgt-bench-") as folder:
        question, answer = Path(folder) / "job.json", Path(folder) / "result.json"
        question.write_text(json.dumps(asdict(job), default=str), encoding="utf-8")
        command = [*program, str(question), str(answer)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not answer.exists():
            said = [line for line in done.stderr.splitlines() if line.strip()]
            why = said[-1].strip() if said else f"exit code {done.returncode}"
            raise errors.EngineError(f"the process that ran {job.engine} died: {why}")
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in found:
        kind: type[errors.CgtError] = getattr(errors, found["error"])
        raise kind(found["text"])
    return Opened(**found["opened"]), read_session(found["session"])


def serve(arguments: Sequence[str], opener: Opener | None = None) -> None:
    """The child's half: measure what the job file says, write the result file."""
    from cgt.runtime.engines import open_engine

    from .session import measure

    question, answer = map(Path, arguments)
    values = json.loads(question.read_text(encoding="utf-8"))
    values["model"], values["size"] = Path(values["model"]), tuple(values["size"])
    if values["streams"] is not None:
        values["streams"] = tuple(values["streams"])
    found: dict[str, Any]
    try:
        opened, session = measure(Job(**values), opener or open_engine)
        found = {"opened": asdict(opened), "session": asdict(session)}
    except errors.CgtError as error:
        found = {"error": type(error).__name__, "text": str(error)}
    answer.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    serve(sys.argv[1:])
