"""Script that kills a run ten times at random steps and then lets it finish.

`python kill_and_resume.py SEED CONFIG.json FOLDER`. Each attempt is a fork of this process, which
has imported everything, so it starts within milliseconds.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch.utils.tensorboard  # noqa: F401  (imported once, before forking)

from cgt.trainer.config import TrainConfig
from cgt.trainer.train import TrainingRun

KILLS = 10
STEPS_BEFORE_KILL = (1, 8)  # an epoch, at whose end the run is saved, has 6


def run_training(config: TrainConfig, folder: Path, step_fd: int) -> None:
    """Start or resume the run, and write a byte for each step."""
    run = (
        TrainingRun.resume(folder)
        if (folder / "latest.pth").exists()
        else TrainingRun.create(folder, config)
    )
    step = run.model.step

    def step_and_report(*args: object) -> object:
        losses = step(*args)
        os.write(step_fd, b".")
        return losses

    run.model.step = step_and_report
    run.train()


def main(seed: int, config: TrainConfig, folder: Path) -> None:
    rng = random.Random(seed)
    for attempt in range(KILLS + 1):
        read_fd, write_fd = os.pipe()
        if not (child := os.fork()):
            try:
                run_training(config, folder, write_fd)
            except BaseException as error:
                print(error, file=sys.stderr)
                os._exit(1)
            os._exit(0)
        os.close(write_fd)
        if attempt < KILLS:
            for _ in range(rng.randint(*STEPS_BEFORE_KILL)):
                assert os.read(read_fd, 1), "the run finished before the tenth kill"
            time.sleep(rng.uniform(0, 0.03))
            os.kill(child, signal.SIGKILL)
        else:
            while os.read(read_fd, 4096):
                pass
        os.close(read_fd)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert killed if attempt < KILLS else status == 0, status


if __name__ == "__main__":
    settings = json.loads(Path(sys.argv[2]).read_text())
    main(int(sys.argv[1]), TrainConfig(**settings), Path(sys.argv[3]))
