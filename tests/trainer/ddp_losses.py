"""Script that writes the losses of each training step to a JSON file.

`python ddp_losses.py FOLDER CONFIG.json OUT.json [STEP]`, or the same by torchrun. With STEP, the
process of rank 1 is killed at the start of that step. An existing run is resumed.

Networks use double precision. In single precision, training amplifies the rounding errors of sums
in another order to 1e-6 within ten steps. The losses are in single precision.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from cgt.trainer.config import TrainConfig
from cgt.trainer.train import TrainingRun

torch.set_default_dtype(torch.float64)
folder, config, out = map(Path, sys.argv[1:4])
settings = TrainConfig(**json.loads(config.read_text()))
if (folder / "latest.pth").exists():
    run = TrainingRun.resume(folder, log=print)
else:
    run = TrainingRun.create(folder, settings)
kill_at_step = int(sys.argv[4]) if len(sys.argv) > 4 and run.distributed.rank == 1 else None
step, sample, recorded = run.model.step, run.model.sample, {}


def recording_step(a, b, position):
    if run.step + 1 == kill_at_step:
        os.kill(os.getpid(), signal.SIGKILL)
    losses = step(a.double(), b.double(), position)
    means = {name: float(run.distributed.mean(value)) for name, value in losses.items()}
    recorded[run.step + 1] = means
    return losses


run.model.step = recording_step
run.model.sample = lambda a, b: sample(a.double(), b.double())
run.train()
if run.is_main_process:
    out.write_text(json.dumps(recorded))
