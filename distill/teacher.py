"""The network that a student learns from.

The discriminator that a teacher learned with, where its checkpoint still has it.

The teacher's answers, each asked for once and kept as a file.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgt.runtime.errors import CheckpointError, DataError, UsageError
from cgt.runtime.image.files import encode_image
from cgt.runtime.image.preprocess import F32, U8, pack, unpack
from cgt.runtime.models.metadata import Direction
from cgt.runtime.utils.atomic import atomic_write
from cgt.trainer.checkpoint import load_checkpoint
from cgt.trainer.data.image_cache import ImageCache
from cgt.trainer.networks import ResnetBlock, ResnetGenerator
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.networks.cpu_layers import use_fast_cpu_layers
from cgt.trainer.precision import Precision
from cgt.trainer.pretrained import TrainedGenerator, open_generator


@dataclass(frozen=True)
class TeacherDiscriminator:
    """settings: fields of TrainConfig that describe it."""

    settings: dict[str, Any]
    weights: dict[str, Tensor]


def load_teacher_discriminator(path: Path, direction: Direction) -> TeacherDiscriminator | None:
    """What judges the answers of one generator of a CycleGAN of `cgt train`. None for other
    trainers' files, for pairs, and for one that sees through another network."""
    try:
        checkpoint = load_checkpoint(path)
    except CheckpointError:
        return None
    config, name = checkpoint.config, "D_A" if direction == "AtoB" else "D_B"
    networks = checkpoint.state["networks"]
    if config.method != "cyclegan" or config.discriminator == "projected" or name not in networks:
        return None
    fields = ("discriminator", "ndf", "d_layers", "norm")
    return TeacherDiscriminator({field: getattr(config, field) for field in fields}, networks[name])


class Teacher:
    """A generator of any checkpoint, frozen. In bf16 it is 55 dB from fp32 and, with PyTorch, as
    quick as any engine that is as exact."""

    def __init__(self, source: TrainedGenerator, precision: Precision) -> None:
        """Raises UsageError for one that does not translate RGB to RGB."""
        if (source.in_channels, source.out_channels) != (3, 3):
            raise UsageError(f"{source.path} does not translate RGB to RGB; only such can teach")
        self.source = source
        self.network_name = ""  # in a file of several
        self.precision, device = precision, precision.device
        self.network = source.network.to(device).requires_grad_(False)
        self._memory_format = precision.inference_memory_format
        if device.type == "cpu":
            use_fast_cpu_layers(self.network)

    @classmethod
    def open(
        cls,
        path: Path,
        direction: Direction | None,
        precision: Precision,
        network: str | None = None,
    ) -> Teacher:
        """Raises what open_generator raises, and UsageError."""
        teacher = cls(open_generator(path, direction, network), precision)
        teacher.network_name = network or ""
        return teacher

    @property
    def cache_key(self) -> str:
        """Equal for equal answers."""
        source, computed = self.source, f"{self.precision.name}-{self._memory_format}"
        return f"{source.sha256}-{source.direction}-{computed}-{self.network_name}"

    def __call__(self, x: Tensor) -> Tensor:
        """N,3,H,W float32 in [-1, 1] -> the same, its answers."""
        with torch.no_grad(), self.precision.autocast_context():
            given = x.to(self.precision.device).contiguous(memory_format=self._memory_format)
            out: Tensor = self.network(given)
        return out.float().contiguous()

    def predict(self, view: F32) -> U8:
        """float32 3,H,W in [-1, 1] -> uint8 HWC, its answer."""
        output = self(torch.from_numpy(np.ascontiguousarray(view))[None])
        return unpack(output[0].cpu().numpy())

    @property
    def encoder(self) -> nn.Sequential:
        """Its layers before the first block: N,3,H,W -> N,encoder_width,H/s,W/s. Raises UsageError
        for a U-Net, whose layers do not stand in a row."""
        if not isinstance(self.network, ResnetGenerator):
            raise UsageError("--lambda-feature needs a ResNet as teacher; leave it out")
        layers = list(self.network.model)
        end = next(i for i, layer in enumerate(layers) if isinstance(layer, ResnetBlock))
        return nn.Sequential(*layers[:end])

    @property
    def encoder_width(self) -> int:
        config = GeneratorConfig.from_json(self.source.architecture)
        return config.stage_widths[config.levels]


class TeacherCache:
    """FOLDER/KEY.png: a teacher's answer to a view of a photo, as uint8. The key is a hash of the
    teacher, its precision, the photo's bytes and the view, so that runs can share a folder, and one
    that is cut off goes on where it was."""

    def __init__(self, folder: Path, teacher: Teacher, store: ImageCache) -> None:
        """Raises DataError where the folder cannot be made."""
        self.folder, self.teacher, self.store = folder, teacher, store
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot write to {folder}: {error.strerror}") from None

    def get(self, photo: Path, crop_name: str, view: F32) -> F32:
        """float32 3,H,W in [-1, 1]: the answer to `view` of the photo, which has this name among
        its views. Raises DataError where a file cannot be read or written."""
        path = self.folder / f"{self.file_key(photo, crop_name)}.png"
        return pack(self.store.get(path) if path.exists() else self._compute(path, view))

    def file_key(self, photo: Path, name: str) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.teacher.cache_key, photo_hash(photo), name):
            digest.update(part.encode() + b"\0")
        return digest.hexdigest()

    def _compute(self, path: Path, view: F32) -> U8:
        image = self.teacher.predict(view)
        data = encode_image(image, ".png")
        assert data is not None
        try:
            with atomic_write(path) as temporary:
                temporary.write_bytes(data)
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror}") from None
        return self.store.add(path, image)


@functools.cache
def photo_hash(photo: Path) -> str:
    """Raises DataError."""
    try:
        return hashlib.blake2b(photo.read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {photo}: {error.strerror}") from None
