"""Teachers that another project's code builds: the code runs only if it is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cgt.distill.config import DistillConfig, teacher_settings
from cgt.distill.train import open_teacher
from cgt.runtime.errors import UsageError
from cgt.runtime.models.checkpoint_options import CheckpointOptions
from cgt.trainer.model_code.loader import build_network
from cgt.trainer.precision import Precision
from cgt.trainer.pretrained import open_generator
from conftest import run_cgt

CODE = """
from torch import nn

def generator(width=4):
    open({mark!r}, "w").close()
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 1), nn.Tanh())
"""


def test_a_resumed_run_needs_the_code_again(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    (tmp_path / "their.py").write_text(CODE.format(mark=str(mark)))
    source = f"{tmp_path / 'their.py'}:generator"
    options = CheckpointOptions(code=source)
    code = options.model_code
    assert code is not None
    torch.save(build_network(code).state_dict(), tmp_path / "their.pth")
    teacher = open_generator(tmp_path / "their.pth", options=options)
    config = DistillConfig(
        data=str(tmp_path),
        teacher=str(teacher.path),
        teacher_sha256=teacher.sha256,
        teacher_code=teacher.code_id,
        **teacher_settings(options),
    )
    precision = Precision(torch.device("cpu"))
    assert open_teacher(config, "AtoB", precision).source.origin == "code"
    stored = DistillConfig.from_json(config.to_json())  # as a resumed run reads it
    assert stored.code == {}
    mark.unlink()
    with pytest.raises(UsageError, match="give --code and its options again"):
        open_teacher(stored, "AtoB", precision)
    assert not mark.exists()
    wider = stored.with_changes({"code": {"code": source, "code_args": "width=4"}})
    with pytest.raises(UsageError, match="is not the code"):
        open_teacher(wider, "AtoB", precision)
    again = stored.with_changes({"code": {"code": source}})
    assert open_teacher(again, "AtoB", precision).cache_key.endswith(teacher.code_id)


def test_the_code_is_given_again_with_resume(tmp_path: Path) -> None:
    (tmp_path / "their.py").write_text(CODE.format(mark=str(tmp_path / "executed")))
    code = ("--code", str(tmp_path / "their.py:generator"))
    done = run_cgt("distill", *code)
    assert "--code goes with --ckpt" in done.stderr
    done = run_cgt("distill", "--resume", str(tmp_path / "run"), *code)
    assert done.returncode == 1
    assert "--code" not in done.stderr
