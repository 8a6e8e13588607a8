"""Names that others script against: they do not change unnoticed."""

from __future__ import annotations

import importlib
import inspect

import pytest

import cgt.runtime

FLAGS = {
    "train": "--data --out --resume --generator --ngf --ndf --norm --learn-residual --upsampling "
    "--discriminator --lambda-cycle --lambda-identity --pool-size --epochs --decay-epochs "
    "--batch-size --lr --ema --load-size --crop-size --precision --seed --threads --device",
    "export": "--ckpt --direction --network --fp32 --fp16 --min-psnr -o --output",
    "translate": "-o --output --model --engine --size --frames --duration --no-audio --start "
    "--stream --reconnect --codec --side-by-side --split",
    "bench": "--model --engine --size --seconds",
    "demo": "--out",
    "doctor": "",
}


@pytest.mark.parametrize("verb", FLAGS)
def test_flags(verb: str) -> None:
    command = importlib.import_module(f"cgt.cli.{verb}").command
    flags = [opt for param in command.params for opt in param.opts if opt.startswith("-")]
    assert sorted(flags) == sorted(FLAGS[verb].split())


def test_the_public_surface() -> None:
    assert cgt.runtime.__all__ == ["Translator", "pack", "resize", "translate", "unpack"]
    for name in cgt.runtime.__all__:
        assert inspect.getdoc(getattr(cgt.runtime, name))
    with pytest.raises(AttributeError):
        cgt.runtime.nonsense  # noqa: B018
