"""Kill a run ten times, at random steps, and let it end: `python lives.py SEED CONFIG.json FOLDER`.

Each life is a fork of this process, which has loaded everything: it starts within milliseconds.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch.utils.tensorboard  # noqa: F401  (so that no life has to)

from cgt.trainer.train import Run
from cgt.trainer.trainconfig import TrainConfig

KILLS = 10
STEPS = (1, 8)  # of a life; an epoch, after which the run is saved, has 6


def live(config: TrainConfig, folder: Path, tell: int) -> None:
    """Begin or go on; a byte for each step."""
    run = Run.resume(folder) if (folder / "latest.pth").exists() else Run.create(folder, config)
    step = run.model.step

    def told(*args: object) -> object:
        losses = step(*args)
        os.write(tell, b".")
        return losses

    run.model.step = told
    run.train()


def main(seed: int, config: TrainConfig, folder: Path) -> None:
    chance = random.Random(seed)
    for life in range(KILLS + 1):
        ear, mouth = os.pipe()
        if not (child := os.fork()):
            try:
                live(config, folder, mouth)
            except BaseException as error:
                print(error, file=sys.stderr)
                os._exit(1)
            os._exit(0)
        os.close(mouth)
        if life < KILLS:
            for _ in range(chance.randint(*STEPS)):
                assert os.read(ear, 1), "the run ended before it was killed ten times"
            time.sleep(chance.uniform(0, 0.03))
            os.kill(child, signal.SIGKILL)
        else:
            while os.read(ear, 4096):
                pass
        os.close(ear)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert killed if life < KILLS else status == 0, status


if __name__ == "__main__":
    settings = json.loads(Path(sys.argv[2]).read_text())
    main(int(sys.argv[1]), TrainConfig(**settings), Path(sys.argv[3]))
