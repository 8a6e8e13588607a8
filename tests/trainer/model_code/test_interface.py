"""`--code`: which images another project's network takes, found by trying."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cgt.runtime.errors import CgtError, CheckpointError, UsageError
from cgt.runtime.models.checkpoint_options import CheckpointOptions
from cgt.trainer.model_code.comparison import compare_with_reading
from cgt.trainer.pretrained import PretrainedInit, TrainedGenerator, open_generator

NETWORKS = Path(__file__).with_name("networks")
MISREAD = {
    "lornatang2022": ("g_A_best.pth.tar", "Tracked", None),
    "knstntin": ("gen.pth", "BareBlocks", None),
    "erenaspire7": ("genh.pth.tar", "BareStem", None),
    "mhdadk": ("G_AB_10epochs.pt", "Shared", None),
    "dscho15": ("gen_A_10.pth", "Grouped", None),
    "fns_transformer": ("mosaic.pth", "Style", "-1..1"),
}

WRAPPED = """
import torch
from torch import nn
from torch.nn import functional as F

class Generator(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, 3, 1)
    def forward(self, x{more}):
        y = torch.tanh(self.conv(x))
        return {result}
"""


def open_code(
    source: str,
    arguments: str | None = None,
    model_range: str | None = None,
    ckpt: Path | None = None,
) -> TrainedGenerator:
    options = CheckpointOptions(code=source, code_args=arguments, model_range=model_range)
    return open_generator(ckpt, options=options)


def open_text(
    folder: Path,
    result: str,
    model_range: str | None = None,
    more: str = "",
    arguments: str | None = None,
) -> TrainedGenerator:
    """Open a network of one convolution with a tanh, whose forward returns an expression of y."""
    (folder / "their.py").write_text(WRAPPED.format(result=result, more=more))
    return open_code(f"{folder / 'their.py'}:Generator", arguments, model_range)


@pytest.mark.slow
@pytest.mark.parametrize("name", MISREAD)
def test_files_that_leave_their_wiring_open(name: str, cgt_data: Path) -> None:
    file, wiring, model_range = MISREAD[name]
    folder = cgt_data / "checkpoints_misread" / name
    stored = np.load(folder / "io.npz")
    generator = open_code(
        f"{NETWORKS / 'misread.py'}:{wiring}", None, model_range, ckpt=folder / file
    )
    with torch.no_grad():
        out = generator.network(torch.from_numpy(stored["x"])).numpy()
    np.testing.assert_allclose(out, stored["y"], rtol=0, atol=1e-4)
    assert (generator.multiple, generator.fixed_size) == (4, False)


def test_a_range_that_is_not_of_images_is_refused(cgt_data: Path) -> None:
    ckpt = cgt_data / "checkpoints_misread" / "fns_transformer" / "mosaic.pth"
    with pytest.raises(UsageError, match=r"not in \[-1, 1\]; state .* --model-range, 0[.][.]255"):
        open_code(f"{NETWORKS / 'misread.py'}:Style", ckpt=ckpt)


ARCHITECTURES = {
    "ugatit.py:Generator": ("light=True", 4, None),
    "pix2pixhd.py:define_G": ("3, 3, 4, 'local'", 8, None),
    "attention_unet.py:Networks.AttentionUNet": (None, 4, None),
    "animegan.py:Generator": (None, 4, None),
    "sequential.py:make_generator": ("(8, 16, 32), groups=2", 4, None),
    "sequential.py:ready": (None, 2, None),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_multiples_and_outputs(name: str) -> None:
    arguments, multiple, _ = ARCHITECTURES[name]
    generator = open_code(f"{NETWORKS}/{name}", arguments)
    assert not generator.fixed_size
    # Some layers round down, so that more sizes work than the strides tell.
    assert generator.multiple in (1, 2, multiple)
    side = 16 * generator.multiple
    for size in ((side, side), (side, side + generator.multiple)):
        assert generator.network(torch.zeros(1, 3, *size)).shape == (1, 3, *size)


def test_a_network_of_one_size() -> None:
    generator = open_code(f"{NETWORKS}/ugatit.py:Generator", "img_size=128")
    assert (generator.size, generator.fixed_size, generator.multiple) == ((128, 128), True, 1)
    assert "returns 3 tensors; number 1 is the image" in generator.evidence


def test_input_and_output_ranges_are_mapped(tmp_path: Path) -> None:
    plain = open_text(tmp_path, "y")
    x = torch.rand(1, 3, 8, 8) * 2 - 1
    conv = plain.network.get_submodule("model.conv")
    for given, result, outer in (
        ("0..1", "(y + 1) / 2", (x + 1) / 2),
        ("0..255", "(y + 1) * 127.5", (x + 1) * 127.5),
    ):
        generator = open_text(tmp_path, result, given)
        expected = torch.tanh(conv(outer))
        torch.testing.assert_close(generator.network(x), expected, rtol=0, atol=1e-5)
        assert generator.architecture["output_range"] == [float(v) for v in given.split("..")]


@pytest.mark.parametrize(
    ("result", "more", "words"),
    [
        ("F.interpolate(y, scale_factor=2)", "", "turns a 256x256 image into 512x512"),
        ("y[:, :, ::4, ::4]", "", "turns a 256x256 image into 64x64"),
        ("(y + 1) * 127.5", "", "--model-range, 0..255"),
        ("(y + 1) / 2", "", "--model-range=-1..1:0..1"),
        ("y / 0", "", "NaN or infinity"),
        ("y.mean()", "", "returns no image, but ()"),
        ("torch.cat([y, y], 1)", "", "returns 6 channels"),
        ("y", ", label", "forward(x, label) does not take one image"),
        ("y.nothing", "", "their.py:12: AttributeError"),
    ],
)
def test_networks_that_do_not_translate_images(
    result: str, more: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises((UsageError, CheckpointError)) as caught:
        open_text(tmp_path, result, more=more)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_image_among_other_outputs(tmp_path: Path) -> None:
    x = torch.rand(1, 3, 8, 8)
    expected = open_text(tmp_path, "y").network(x)
    results = ("{'mask': y[:, :1, ::2, ::2], 'fake': y}", "[None, (y.mean(), y)]", "y, y * 0")
    for result in results:
        assert torch.equal(open_text(tmp_path, result).network(x), expected)


def test_grayscale_input(tmp_path: Path) -> None:
    generator = open_text(tmp_path, "y", arguments="1")
    assert (generator.in_channels, generator.out_channels) == (1, 3)


# ---- Next to a file that the importer knows ------------------------------------------------------

TWIN = """
from torch import nn

class Block(nn.Module):
    def __init__(self, dim, pad):
        super().__init__()
        self.conv_block = nn.Sequential(
            pad(1), nn.Conv2d(dim, dim, 3), nn.InstanceNorm2d(dim), nn.ReLU(),
            pad(1), nn.Conv2d(dim, dim, 3), nn.InstanceNorm2d(dim))
    def forward(self, x):
        return x + self.conv_block(x)

class Generator(nn.Module):
    def __init__(self, zero=False, width=4):
        super().__init__()
        w, pad = width, nn.ZeroPad2d if zero else nn.ReflectionPad2d
        up = dict(stride=2, padding=1, output_padding=1)
        norm = lambda c: [nn.InstanceNorm2d(c), nn.ReLU()]
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7), *norm(w),
            nn.Conv2d(w, 2 * w, 3, 2, 1), *norm(2 * w), nn.Conv2d(2 * w, 4 * w, 3, 2, 1),
            *norm(4 * w), Block(4 * w, pad), Block(4 * w, pad),
            nn.ConvTranspose2d(4 * w, 2 * w, 3, **up), *norm(2 * w),
            nn.ConvTranspose2d(2 * w, w, 3, **up), *norm(w),
            nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7), nn.Tanh())
    def forward(self, x):
        return self.model(x)
"""


@pytest.fixture
def twin(tmp_path: Path) -> tuple[Path, str]:
    """Return a checkpoint of a ResNet, and code that defines it or, with zero=True, another."""
    (tmp_path / "their.py").write_text(TWIN)
    source = f"{tmp_path / 'their.py'}:Generator"
    network = open_code(source).network.get_submodule("model")
    torch.save(network.state_dict(), tmp_path / "latest_net_G_A.pth")
    return tmp_path / "latest_net_G_A.pth", source


def test_both_readings_are_compared(twin: tuple[Path, str]) -> None:
    ckpt, source = twin
    same = compare_with_reading(open_code(source, ckpt=ckpt), ())
    assert same.startswith("cgt's own reading of the file agrees with their code: PSNR ")
    other = compare_with_reading(open_code(source, "zero=True", ckpt=ckpt), ())
    assert other.startswith("warning: cgt's own reading of the file (resnet2, ngf 4, ")
    assert other.endswith("their code is used")


def test_training_starts_only_from_what_cgt_has(twin: tuple[Path, str], tmp_path: Path) -> None:
    ckpt, source = twin
    init = PretrainedInit.from_checkpoint(ckpt, CheckpointOptions(code=source))
    assert init.pretrained["G_A"].architecture["kind"] == "resnet2"
    with pytest.raises(UsageError, match="no generator that cgt can train: its closest one"):
        PretrainedInit.from_checkpoint(ckpt, CheckpointOptions(code=source, code_args="zero=True"))
    unknown = f"{NETWORKS}/animegan.py:Generator"
    network = open_code(unknown).network.get_submodule("model")
    torch.save(network.state_dict(), tmp_path / "anime.pth")
    with pytest.raises(UsageError, match="no generator that cgt can train"):
        PretrainedInit.from_checkpoint(tmp_path / "anime.pth", CheckpointOptions(code=unknown))


def test_a_checkpoint_of_cgt_needs_no_code(run_folder: Path, twin: tuple[Path, str]) -> None:
    with pytest.raises(CgtError, match=r"was written by cgt.*omit --code"):
        open_code(twin[1], ckpt=run_folder / "latest.pth")
