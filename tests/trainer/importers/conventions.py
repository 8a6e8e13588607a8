"""Generators of public projects as sequences of steps, for tests of importers.

A sequence determines the keys and shapes of a checkpoint. Evaluated with torch.nn.functional only,
it computes what the project's own code computes.

A step is a tuple: ("conv", path, in, out, kernel, stride, padding, mode, bias, groups), ("up", ...)
for a transposed convolution, ("norm", path, kind, channels), ("blur", path, channels, taps),
("repeat",), ("relu",), ("leaky",), ("tanh",), ("residual", [steps]) and ("skip", [steps]).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

Step = tuple[Any, ...]
Weights = dict[str, torch.Tensor]


def conv(path: str, i: int, o: int, k: int, s: int = 1, p: int = 0, mode: str = "zero",
         bias: bool = True, groups: int = 1) -> Step:  # fmt: skip
    return ("conv", path, i, o, k, s, p, mode, bias, groups)


def up(path: str, i: int, o: int, k: int = 3, bias: bool = True) -> Step:
    return ("up", path, i, o, k, bias)


def weights(steps: list[Step], random: torch.Generator) -> Weights:
    """Return a state dict with weights that keep activations in a useful range."""
    found: Weights = {}

    def normal(*shape: int, std: float = 1.0, mean: float = 0.0) -> torch.Tensor:
        return torch.randn(*shape, generator=random) * std + mean

    for step in steps:
        kind = step[0]
        if kind == "conv":
            _, path, i, o, k, _, _, _, bias, groups = step
            fan = i // groups * k * k
            found[f"{path}.weight"] = normal(o, i // groups, k, k, std=(1.5 / fan) ** 0.5)
            if bias:
                found[f"{path}.bias"] = normal(o, std=0.2)
        elif kind == "up":
            _, path, i, o, k, bias = step
            found[f"{path}.weight"] = normal(i, o, k, k, std=(4 / (i * k * k)) ** 0.5)
            if bias:
                found[f"{path}.bias"] = normal(o, std=0.2)
        elif kind == "norm":
            _, path, norm, c = step
            if norm in ("affine", "batch"):
                found[f"{path}.weight"] = normal(c, std=0.2, mean=1)
                found[f"{path}.bias"] = normal(c, std=0.2)
            if norm in ("batch", "old"):
                found[f"{path}.running_mean"] = normal(c, std=0.3)
                found[f"{path}.running_var"] = normal(c).abs() + 0.5
            if norm == "batch":
                found[f"{path}.num_batches_tracked"] = torch.tensor(7)
        elif kind == "blur":
            _, path, c, taps = step
            row = torch.tensor(taps, dtype=torch.float32)
            kernel = torch.outer(row, row) / row.sum() ** 2 * (4 if len(taps) == 4 else 1)
            found[f"{path}.filt"] = kernel.repeat(c, 1, 1, 1)
        elif kind in ("residual", "skip"):
            found |= weights(step[1], random)
    return found


_MODES = {"zero": "constant", "reflect": "reflect", "replicate": "replicate"}


def forward(steps: list[Step], w: Weights, x: torch.Tensor) -> torch.Tensor:
    for step in steps:
        kind = step[0]
        if kind == "conv":
            _, path, _, _, _, s, p, mode, _, groups = step
            x = F.pad(x, (p, p, p, p), _MODES[mode]) if p else x
            bias = w.get(f"{path}.bias")
            x = F.conv2d(x, w[f"{path}.weight"], bias, stride=s, groups=groups)
        elif kind == "up":
            _, path, _, _, k, _ = step
            bias = w.get(f"{path}.bias")
            x = F.conv_transpose2d(x, w[f"{path}.weight"], bias, 2, 1, 1 if k == 3 else 0)
        elif kind == "norm":
            _, path, norm, _ = step
            if norm == "batch":
                parts = [
                    w[f"{path}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")
                ]
                x = F.batch_norm(x, *parts)
            elif norm != "none":
                x = F.instance_norm(x, None, None, w.get(f"{path}.weight"), w.get(f"{path}.bias"))
        elif kind == "blur":
            filt = w[f"{step[1]}.filt"]
            if filt.shape[-1] == 3:
                x = F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), filt, stride=2, groups=len(filt))
            else:  # CUT: transposed, and one more row and column removed on each side
                x = F.pad(x, (1, 1, 1, 1), "replicate")
                x = F.conv_transpose2d(x, filt, stride=2, padding=2, groups=len(filt))
                x = x[:, :, 1:-1, 1:-1]
        elif kind == "repeat":
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        elif kind == "relu":
            x = x.clamp(min=0)
        elif kind == "leaky":
            x = torch.where(x > 0, x, 0.2 * x)
        elif kind == "tanh":
            x = x.tanh()
        elif kind == "residual":
            x = x + forward(step[1], w, x)
        elif kind == "skip":  # pix2pix concatenates after the activation
            x = torch.cat([x, forward(step[1], w, x)], 1)
    return x


@dataclass(frozen=True)
class PublicGenerator:
    """A project's generator and the configuration that must be inferred."""

    name: str
    steps: list[Step]
    expect: dict[str, Any] = field(default_factory=dict)  # fields of GeneratorConfig
    options: str = ""  # train_opt.txt
    is_match: bool = True  # whether its names are unique to its project

    @property
    def channels(self) -> int:
        return next(step[2] for step in self.steps if step[0] == "conv")


def junyanz(
    blocks: int = 3,
    norm: str = "instance",
    *,
    ngf: int = 4,
    i: int = 3,
    o: int = 3,
    dropout_slot: bool = False,
    top: str = "model",
    block: str = "conv_block",
    zero_padding: bool = False,
    stem_padding: str = "reflect",
    blurred: str = "",
    n_downsampling: int = 2,
    upsampling: str = "transposed",
    separable: bool = False,
    bias_override: bool | None = None,
) -> list[Step]:
    """Return pytorch-CycleGAN-and-pix2pix's ResnetGenerator or a variant of it."""
    bias = norm not in ("batch", "none") if bias_override is None else bias_override
    steps = [conv(f"{top}.{int(stem_padding != 'zero')}", i, ngf, 7, 1, 3, stem_padding, bias)]
    steps += [("norm", f"{top}.2", norm, ngf), ("relu",)]
    n, c = 4, ngf
    for _ in range(n_downsampling):
        stride = 1 if "down" in blurred else 2
        steps += [conv(f"{top}.{n}", c, 2 * c, 3, stride, 1, "zero", bias)]
        steps += [("norm", f"{top}.{n + 1}", norm, 2 * c), ("relu",)]
        n, c = n + 3, 2 * c
        if "down" in blurred:
            steps.append(("blur", f"{top}.{n}", c, (1, 2, 1)))
            n += 1
    for _ in range(blocks):
        steps.append(
            (
                "residual",
                list(
                    _block(
                        f"{top}.{n}.{block}", c, norm, bias, dropout_slot, zero_padding, separable
                    )
                ),
            )
        )
        n += 1
    for _ in range(n_downsampling):
        if "up" in blurred:
            steps.append(("blur", f"{top}.{n}", c, (1, 3, 3, 1)))
            steps.append(conv(f"{top}.{n + 1}", c, c // 2, 3, 1, 1, "zero", bias))
            n += 1
        elif upsampling == "transposed":
            steps.append(up(f"{top}.{n}", c, c // 2, 3, bias))
        else:
            steps.append(("repeat",))
            offset = {"zero": 1, "reflect": 2, "nested": 0}[upsampling]
            mode = "zero" if upsampling == "zero" else "reflect"
            path = f"{top}.{n}.2" if upsampling == "nested" else f"{top}.{n + offset}"
            steps.append(conv(path, c, c // 2, 3, 1, 1, mode, bias))
            n += offset
        steps += [("norm", f"{top}.{n + 1}", norm, c // 2), ("relu",)]
        n, c = n + 3, c // 2
    return [*steps, conv(f"{top}.{n + 1}", c, o, 7, 1, 3, stem_padding), ("tanh",)]


def _block(path: str, c: int, norm: str, bias: bool, dropout_slot: bool, zero_padding: bool,
           separable: bool = False, inner: int = 0) -> Iterator[Step]:  # fmt: skip
    inner = inner or c
    first = 0 if zero_padding else 1
    second = first + (3 if zero_padding else 4) + dropout_slot
    mode = "zero" if zero_padding else "reflect"
    yield from _conv3(f"{path}.{first}", c, inner, mode, bias, separable)
    yield from (("norm", f"{path}.{first + 1}", norm, inner), ("relu",))
    yield from _conv3(f"{path}.{second}", inner, c, mode, bias, separable)
    yield ("norm", f"{path}.{second + 1}", norm, c)


def _conv3(path: str, i: int, o: int, mode: str, bias: bool, separable: bool) -> Iterator[Step]:
    if not separable:
        yield conv(path, i, o, 3, 1, 1, mode, bias)
        return
    yield conv(f"{path}.conv.0", i, i, 3, 1, 1, mode, True, i)
    yield ("norm", f"{path}.conv.1", "instance", i)
    yield conv(f"{path}.conv.2", i, o, 1)


def compressed(widths: tuple[int, ...]) -> list[Step]:
    """Return gan-compression's SubMobileResnetGenerator, with its own width at every stage."""
    first, *downs, b0, b1, b2, u0, u1 = widths
    steps = [conv("model.1", 3, first, 7, 1, 3, "reflect"), ("norm", "model.2", "instance", first)]
    steps.append(("relu",))
    c, n = first, 4
    for o in downs:
        steps += [conv(f"model.{n}", c, o, 3, 2, 1), ("norm", f"model.{n + 1}", "instance", o)]
        steps.append(("relu",))
        c, n = o, n + 3
    for inner in (b0, b1, b2):
        path = f"model.{n}.conv_block"
        steps.append(
            ("residual", list(_block(path, c, "instance", True, True, False, True, inner)))
        )
        n += 1
    for o in (u0, u1):
        steps += [up(f"model.{n}", c, o), ("norm", f"model.{n + 1}", "instance", o), ("relu",)]
        c, n = o, n + 3
    return [*steps, conv(f"model.{n + 1}", c, 3, 7, 1, 3, "reflect"), ("tanh",)]


def lynnho(norm: str) -> list[Step]:
    """Return LynnHo's port: nested Sequentials, with biases only in the second of each block."""
    return _units("ls", "ls", norm, False, 3, True)


def arnab(norm: str, dropout_slot: bool) -> list[Step]:
    """Return arnab39's cycleGAN-PyTorch: units of convolution, norm and ReLU inside a Sequential.

    The second convolution of a block and the last one are not in a unit.
    """
    bias = norm == "instance"
    return _units("res_model", "res_block", norm, bias, 3 + dropout_slot, bias)


def _units(
    top: str, inside: str, norm: str, bias: bool, second: int, second_bias: bool
) -> list[Step]:
    """Return units under `top` and two blocks.

    The second convolution of a block is directly under `inside`, with number `second`.
    """

    def unit(path: str, step: Step, c: int) -> list[Step]:
        return [step, ("norm", f"{path}.1", norm, c), ("relu",)]

    c, blocks = 4, 2
    steps = unit(f"{top}.1", conv(f"{top}.1.0", 3, c, 7, 1, 3, "reflect", bias), c)
    for n in (2, 3):
        steps += unit(f"{top}.{n}", conv(f"{top}.{n}.0", c, 2 * c, 3, 2, 1, "zero", bias), 2 * c)
        c *= 2
    for n in range(4, 4 + blocks):
        path = f"{top}.{n}.{inside}"
        inner = unit(f"{path}.1", conv(f"{path}.1.0", c, c, 3, 1, 1, "reflect", bias), c)
        inner.append(conv(f"{path}.{second}", c, c, 3, 1, 1, "reflect", second_bias))
        steps.append(("residual", [*inner, ("norm", f"{path}.{second + 1}", norm, c)]))
    for n in (4 + blocks, 5 + blocks):
        steps += unit(f"{top}.{n}", up(f"{top}.{n}.0", c, c // 2, 3, bias), c // 2)
        c //= 2
    return [*steps, conv(f"{top}.{7 + blocks}", c, 3, 7, 1, 3, "reflect"), ("tanh",)]


def mmgeneration(dropout_slot: bool, blocks: int = 2, ngf: int = 4) -> list[Step]:
    """Return OpenMMLab's generator: every convolution is in a ConvModule, which pads its input."""
    c = ngf
    steps = [conv("model.0.conv", 3, c, 7, 1, 3, "reflect"), ("norm", "", "instance", c), ("relu",)]
    for n in (1, 2):
        steps.append(conv(f"model.{n}.conv", c, 2 * c, 3, 2, 1))
        steps += [("norm", "", "instance", 2 * c), ("relu",)]
        c *= 2
    for n in range(3, 3 + blocks):
        path = f"model.{n}.block"
        inner = [conv(f"{path}.0.conv", c, c, 3, 1, 1, "reflect"), ("norm", "", "instance", c)]
        inner += [("relu",), conv(f"{path}.{1 + dropout_slot}.conv", c, c, 3, 1, 1, "reflect")]
        steps.append(("residual", [*inner, ("norm", "", "instance", c)]))
    for n in (3 + blocks, 4 + blocks):
        steps += [up(f"model.{n}.conv", c, c // 2), ("norm", "", "instance", c // 2), ("relu",)]
        c //= 2
    return [*steps, conv(f"model.{5 + blocks}.conv", c, 3, 7, 1, 3, "reflect"), ("tanh",)]


def udacity(blocks: int = 3, ngf: int = 4) -> list[Step]:
    """Return Udacity's generator: the first and last convolutions downsample and upsample, too."""
    steps: list[Step] = []
    for n, (i, o) in enumerate(((3, ngf), (ngf, 2 * ngf), (2 * ngf, 4 * ngf)), 1):
        steps.append(conv(f"conv{n}.0", i, o, 4, 2, 1, "zero", False))
        steps += [("norm", f"conv{n}.1", "batch", o), ("relu",)]
    c = 4 * ngf
    for n in range(blocks):
        path = f"res_blocks.{n}.conv_layer"
        inner = [
            conv(f"{path}1.0", c, c, 3, 1, 1, "zero", False),
            ("norm", f"{path}1.1", "batch", c),
        ]
        inner += [("relu",), conv(f"{path}2.0", c, c, 3, 1, 1, "zero", False)]
        steps.append(("residual", [*inner, ("norm", f"{path}2.1", "batch", c)]))
    for n in (1, 2):
        steps += [
            up(f"deconv{n}.0", c, c // 2, 4, False),
            ("norm", f"deconv{n}.1", "batch", c // 2),
        ]
        steps.append(("relu",))
        c //= 2
    return [*steps, up("deconv3.0", c, 3, 4, False), ("tanh",)]


def znxlwm(blocks: int = 2, ngf: int = 4) -> list[Step]:
    """Return znxlwm's pytorch-CycleGAN, whose blocks do not add their input."""
    c = ngf
    steps = [conv("conv1.conv", 3, c, 7, 1, 3, "reflect"), ("norm", "", "instance", c), ("relu",)]
    for n in (2, 3):
        steps.append(conv(f"conv{n}.conv", c, 2 * c, 3, 2, 1))
        steps += [("norm", "", "instance", 2 * c), ("relu",)]
        c *= 2
    for n in range(blocks):
        steps += list(_block(f"resnet_blocks.{n}.resnet_block", c, "instance", True, False, False))
    for n in (1, 2):
        steps += [up(f"deconv{n}.deconv", c, c // 2), ("norm", "", "instance", c // 2), ("relu",)]
        c //= 2
    return [*steps, conv("deconv3.conv", c, 3, 7, 1, 3, "reflect"), ("tanh",)]


def aladdin(blocks: int = 11, ngf: int = 4) -> list[Step]:
    """Return Machine-Learning-Collection's generator: named stages, reflect padding everywhere."""
    c = ngf
    steps = [conv("initial.0", 3, c, 7, 1, 3, "reflect"), ("norm", "initial.1", "instance", c)]
    steps.append(("relu",))
    for n in (0, 1):
        steps.append(conv(f"down_blocks.{n}.conv.0", c, 2 * c, 3, 2, 1, "reflect"))
        steps += [("norm", "", "instance", 2 * c), ("relu",)]
        c *= 2
    for n in range(blocks):
        path = f"res_blocks.{n}.block"
        inner = [conv(f"{path}.0.conv.0", c, c, 3, 1, 1, "reflect"), ("norm", "", "instance", c)]
        inner += [("relu",), conv(f"{path}.1.conv.0", c, c, 3, 1, 1, "reflect")]
        steps.append(("residual", [*inner, ("norm", "", "instance", c)]))
    for n in (0, 1):
        steps += [up(f"up_blocks.{n}.conv.0", c, c // 2), ("norm", "", "instance", c), ("relu",)]
        c //= 2
    return [*steps, conv("last", c, 3, 7, 1, 3, "reflect"), ("tanh",)]


def coursera(blocks: int = 3, ngf: int = 4) -> list[Step]:
    """Return Coursera's generator: no norm or activation after the first convolution."""
    c = ngf
    steps = [conv("upfeature.conv", 3, c, 7, 1, 3, "reflect")]
    for n in (1, 2):
        steps.append(conv(f"contract{n}.conv1", c, 2 * c, 3, 2, 1, "reflect"))
        steps += [("norm", "", "instance", 2 * c), ("relu",)]
        c *= 2
    for n in range(blocks):
        inner = [conv(f"res{n}.conv1", c, c, 3, 1, 1, "reflect"), ("norm", "", "instance", c)]
        inner += [("relu",), conv(f"res{n}.conv2", c, c, 3, 1, 1, "reflect")]
        steps.append(("residual", [*inner, ("norm", "", "instance", c)]))
    for n in (2, 3):
        steps += [up(f"expand{n}.conv1", c, c // 2), ("norm", "", "instance", c), ("relu",)]
        c //= 2
    return [*steps, conv("downfeature.conv", c, 3, 7, 1, 3, "reflect"), ("tanh",)]


def unet(depth: int, norm: str, *, ngf: int = 4, i: int = 3, o: int = 3) -> list[Step]:
    """Return pix2pix's U-Net with nested levels."""
    bias = norm != "batch" and norm != "none"
    widths = [ngf * min(2**level, 8) for level in range(depth)]

    def level(n: int) -> list[Step]:
        path = "model.model.1" + ".model.3" * (n - 1) + ".model"
        outer, inner = widths[n - 1], widths[n]
        steps: list[Step] = [("leaky",), conv(f"{path}.1", outer, inner, 4, 2, 1, "zero", bias)]
        if n == depth - 1:
            return [*steps, ("relu",), up(f"{path}.3", inner, outer, 4, bias),
                    ("norm", f"{path}.4", norm, outer)]  # fmt: skip
        steps += [("norm", f"{path}.2", norm, inner), ("skip", level(n + 1)), ("relu",)]
        return [*steps, up(f"{path}.5", 2 * inner, outer, 4, bias),
                ("norm", f"{path}.6", norm, outer)]  # fmt: skip

    first = conv("model.model.0", i, ngf, 4, 2, 1, "zero", bias)
    return [first, ("skip", level(1)), ("relu",), up("model.model.3", 2 * ngf, o, 4), ("tanh",)]


PUBLIC_GENERATORS = [
    PublicGenerator(
        "junyanz resnet9", junyanz(9), {"kind": "resnet9", "norm": "instance", "ngf": 4}
    ),
    PublicGenerator(
        "junyanz resnet6, dropout slot", junyanz(6, dropout_slot=True), {"dropout": True}
    ),
    PublicGenerator("junyanz batch", junyanz(norm="batch"), {"norm": "batch", "bias": False}),
    PublicGenerator(
        "junyanz batch, dropout slot", junyanz(norm="batch", dropout_slot=True), {"dropout": True}
    ),
    PublicGenerator("junyanz without norms", junyanz(norm="none"), {"norm": "none", "bias": False}),
    PublicGenerator("junyanz, old statistics", junyanz(norm="old"), {"norm": "instance"}),
    PublicGenerator(
        "junyanz, padding_type zero",
        junyanz(zero_padding=True),
        {"padding": "zero"},
        is_match=False,
    ),
    PublicGenerator(
        "junyanz, padding_type zero, dropout slot",
        junyanz(zero_padding=True, dropout_slot=True),
        {"padding": "zero", "dropout": True},
        is_match=False,
    ),
    PublicGenerator(
        "zero padding everywhere",
        junyanz(zero_padding=True, stem_padding="zero"),
        {"padding": "zero", "stem_padding": "zero"},
        is_match=False,
    ),
    PublicGenerator("junyanz, gray to color", junyanz(i=1), {"in_channels": 1, "out_channels": 3}),
    PublicGenerator(
        "junyanz, 4 channels", junyanz(i=4, o=4), {"in_channels": 4, "out_channels": 4}
    ),
    PublicGenerator("junyanz, 2 to 1", junyanz(i=2, o=1), {"in_channels": 2, "out_channels": 1}),
    PublicGenerator("junyanz, ngf 6", junyanz(1, ngf=6), {"ngf": 6, "kind": "resnet1"}),
    PublicGenerator(
        "pix2pixHD, 4 downsampling layers",
        junyanz(2, n_downsampling=4, ngf=2),
        {"n_downsampling": 4},
    ),
    PublicGenerator("one downsampling layer", junyanz(2, n_downsampling=1), {"n_downsampling": 1}),
    PublicGenerator(
        "vintagify", junyanz(norm="affine", block="block"), {"norm": "instance_affine"}
    ),
    PublicGenerator("aitorzip", junyanz(9, o=1), {"kind": "resnet9"}),
    PublicGenerator("Lornatang", junyanz(4, top="main", block="res"), {"kind": "resnet4"}),
    PublicGenerator(
        "res_model, res_block", junyanz(top="res_model", block="res_block"), is_match=False
    ),
    PublicGenerator(
        "eriklindernoren",
        junyanz(4, block="block", upsampling="zero"),
        {"upsampling": "resize", "up_padding": "zero"},
    ),
    PublicGenerator(
        "resize, reflected",
        junyanz(4, upsampling="reflect"),
        {"upsampling": "resize", "up_padding": "reflect"},
        is_match=False,
    ),
    PublicGenerator(
        "resize in a Sequential",
        junyanz(upsampling="nested"),
        {"up_padding": "reflect"},
        is_match=False,
    ),
    PublicGenerator("LynnHo, batch", lynnho("batch"), {"norm": "batch"}),
    PublicGenerator("LynnHo, instance", lynnho("instance"), {"norm": "instance"}),
    PublicGenerator(
        "arnab39", arnab("instance", True), {"dropout": True, "stem_padding": "reflect"}
    ),
    PublicGenerator("arnab39, batch", arnab("batch", False), {"dropout": False, "norm": "batch"}),
    PublicGenerator("mmgeneration", mmgeneration(False), {"dropout": False}),
    PublicGenerator("mmgeneration, dropout slot", mmgeneration(True), {"dropout": True}),
    PublicGenerator(
        "Udacity", udacity(), {"stem_kernel": 4, "sampling_kernel": 4, "norm": "batch"}
    ),
    PublicGenerator("znxlwm", znxlwm(), {"residual": False}),
    PublicGenerator("aladdinpersson", aladdin(), {"down_padding": "reflect", "kind": "resnet11"}),
    PublicGenerator("Coursera", coursera(), {"no_stem_norm": True}),
    PublicGenerator(
        "CUT",
        junyanz(blurred="down up"),
        {"upsampling": "antialias", "downsampling": "antialias"},
    ),
    PublicGenerator("CUT --no_antialias_up", junyanz(blurred="down"), {"upsampling": "transposed"}),
    PublicGenerator("CUT --no_antialias", junyanz(blurred="up"), {"downsampling": "strided"}),
    PublicGenerator("CUT, batch", junyanz(blurred="down up", norm="batch"), {"norm": "batch"}),
    PublicGenerator(
        "gan-compression", junyanz(separable=True, dropout_slot=True), {"block": "separable"}
    ),
    PublicGenerator(
        "gan-compression, batch",
        junyanz(separable=True, dropout_slot=True, norm="batch"),
        {"norm": "batch"},
    ),
    PublicGenerator(
        "gan-compression, compressed",
        compressed((6, 10, 20, 8, 12, 4, 14, 6)),
        {"block": "separable", "widths": (6, 10, 20, 8, 12, 4, 14, 6)},
    ),
    PublicGenerator("unet32", unet(5, "instance"), {"kind": "unet32", "norm": "instance"}),
    PublicGenerator("unet64, batch", unet(6, "batch"), {"kind": "unet64", "norm": "batch"}),
    PublicGenerator(
        "unet16, affine", unet(4, "affine"), {"norm": "instance_affine"}, is_match=False
    ),
    PublicGenerator("unet8, gray", unet(3, "none", i=1, o=1), {"kind": "unet8", "norm": "none"}),
    PublicGenerator(
        "unet128 with dropout",
        unet(7, "batch", ngf=2),
        {"kind": "unet128", "dropout": True},
        options="no_dropout: False\nnorm: batch [default: instance]\n",
    ),
    PublicGenerator(
        "instance norms without biases, as train_opt.txt says",
        junyanz(bias_override=False),
        {"norm": "instance", "bias": False},
        options="norm: instance\n",
    ),
    PublicGenerator(
        "no norms, as train_opt.txt says",
        junyanz(norm="none", bias_override=True),
        {"norm": "none", "bias": True},
        options="norm: none\n",
    ),
]
