"""The losses of each step of a run, as JSON: `losses.py FOLDER CONFIG.json OUT.json`, also under
torchrun. Means over the processes, undiminished by the log's six digits."""

import json
import sys
from pathlib import Path

from cgt.trainer.train import Run
from cgt.trainer.trainconfig import TrainConfig

folder, config, out = map(Path, sys.argv[1:])
run = Run.create(folder, TrainConfig(**json.loads(config.read_text())))
step, seen = run.model.step, []


def watched(*args):
    losses = step(*args)
    seen.append([float(value) for value in run.processes.mean(losses)])
    return losses


run.model.step = watched
run.train()
if run.leads:
    out.write_text(json.dumps(seen))
