"""A wider network is the same function until it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from cgt.runtime.errors import UsageError
from cgt.trainer.config import GeneratorConfig
from cgt.trainer.networks import ResnetBlock, build_generator
from cgt.trainer.widening import wide, widened

SMALL = GeneratorConfig("resnet2", 4, norm="instance_affine")


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, norm="none", upsampling="resize", dropout=True),
        replace(SMALL, norm="batch", widths=(4, 8, 16, 12, 20, 8, 4)),
    ],
    ids=["instance", "none", "batch, of other widths"],
)
def test_the_answers_stay_and_what_is_new_learns(config: GeneratorConfig) -> None:
    torch.manual_seed(0)
    network = build_generator(config).eval()
    more = widened(network, config, 24)
    assert not more.training
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    before, after = network(x), more(x)
    torch.testing.assert_close(before, after)
    again = widened(network, config, 24)
    pairs = zip(more.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    after.square().mean().backward()
    block = next(m for m in more.modules() if isinstance(m, ResnetBlock))
    _, second = (m for m in block.conv_block if isinstance(m, nn.Conv2d))
    assert second.weight.shape[1] == 24
    assert second.weight.grad is not None
    assert second.weight.grad[:, 20:].abs().sum() > 0


def test_it_is_described() -> None:
    config = wide(SMALL, 24)
    assert config.stage_widths == (4, 8, 16, 24, 24, 8, 4)
    assert wide(config, 24) == config
    with pytest.raises(UsageError, match="has 24 channels in its blocks already; 20 are fewer"):
        wide(config, 20)
    for other in (GeneratorConfig("unet32"), replace(SMALL, block="mobile")):
        with pytest.raises(UsageError, match="only a ResNet with plain convolutions"):
            wide(other, 64)
