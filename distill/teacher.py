"""The teacher of a distillation: network, discriminator and on-disk cache of its outputs."""

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
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.models.metadata import Direction
from cgt.runtime.utils.atomic import atomic_write
from cgt.trainer.checkpoint import load_checkpoint
from cgt.trainer.data.image_cache import ImageCache
from cgt.trainer.networks import ResnetBlock, ResnetGenerator
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.networks.training_layers import use_training_layers
from cgt.trainer.precision import Precision
from cgt.trainer.pretrained import TrainedGenerator, open_generator


@dataclass(frozen=True)
class TeacherDiscriminator:
    """Discriminator weights of a teacher's checkpoint.

    Attributes:
        settings: the TrainConfig fields that describe the architecture.
        weights: the state dict.
    """

    settings: dict[str, Any]
    weights: dict[str, Tensor]


def load_teacher_discriminator(path: Path, direction: Direction) -> TeacherDiscriminator | None:
    """Load the discriminator of one generator of a CycleGAN trained by `cgt train`.

    Returns:
        None for third-party checkpoints, for other methods and for projected discriminators.
    """
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
    """A frozen generator of any supported checkpoint.

    In bf16, its outputs have a PSNR of 55 dB relative to fp32. PyTorch runs it as fast as any
    inference engine of the same precision.

    Args:
        source: the generator.
        precision: device and precision to compute in.

    Raises:
        UsageError: the generator does not translate RGB to RGB.
    """

    def __init__(self, source: TrainedGenerator, precision: Precision) -> None:
        if (source.in_channels, source.out_channels) != (3, 3):
            raise UsageError(
                f"{source.path} does not translate RGB to RGB; give a teacher that does"
            )
        self.source = source
        self.network_name = ""  # the generator within a file that contains several
        self.reading_flags = ""  # what the user states about a file of another trainer
        self.precision, device = precision, precision.device
        self.network = source.network.to(device).requires_grad_(False)
        self._memory_format = precision.inference_memory_format
        if device.type == "cpu":
            use_training_layers(self.network, device)

    @classmethod
    def open(
        cls,
        path: Path,
        direction: Direction | None,
        precision: Precision,
        network: str | None = None,
        options: CheckpointOptions = NO_OPTIONS,
    ) -> Teacher:
        """Open the generator of a checkpoint.

        Args:
            path: the checkpoint.
            direction: the direction to load; None for the only or default one.
            precision: device and precision to compute in.
            network: the generator within a file that contains several.
            options: what the user states about a checkpoint of another trainer.

        Raises:
            CheckpointError: the file is not a usable checkpoint.
            UsageError: the request does not fit the file, or the generator is not RGB to RGB.
        """
        teacher = cls(open_generator(path, direction, network, options), precision)
        teacher.network_name = network or ""
        teacher.reading_flags = options.flags
        return teacher

    @property
    def cache_key(self) -> str:
        """A text that is equal for teachers with equal outputs."""
        source, computed = self.source, f"{self.precision.name}-{self._memory_format}"
        key = f"{source.sha256}-{source.direction}-{computed}-{self.network_name}"
        reading = source.code_id or self.reading_flags
        return f"{key}-{reading}" if reading else key

    def __call__(self, x: Tensor) -> Tensor:
        """Translate a float32 N,3,H,W batch in [-1, 1]."""
        with torch.no_grad(), self.precision.autocast_context():
            x = x.to(self.precision.device).contiguous(memory_format=self._memory_format)
            out: Tensor = self.network(x)
        return out.float().contiguous()

    def predict(self, image: F32) -> U8:
        """Translate a float32 3,H,W image in [-1, 1] to a uint8 H,W,3 one."""
        output = self(torch.from_numpy(np.ascontiguousarray(image))[None])
        return unpack(output[0].cpu().numpy())

    @property
    def encoder(self) -> nn.Sequential:
        """The layers before the first residual block: N,3,H,W -> N,encoder_width,H/s,W/s.

        Raises:
            UsageError: the teacher is a U-Net, whose layers are not a sequence.
        """
        if not isinstance(self.network, ResnetGenerator):
            raise UsageError("--lambda-feature needs a ResNet as teacher; leave it out")
        layers = list(self.network.model)
        end = next(i for i, layer in enumerate(layers) if isinstance(layer, ResnetBlock))
        return nn.Sequential(*layers[:end])

    @property
    def encoder_width(self) -> int:
        """Number of channels of the encoder's output."""
        config = GeneratorConfig.from_json(self.source.architecture)
        return config.stage_widths[config.levels]


class TeacherCache:
    """On-disk cache of teacher outputs: FOLDER/KEY.png is the output for one crop of a photo.

    The key is a hash of the teacher, its precision, the bytes of the photo and the crop. So runs
    can share a folder, and an interrupted run resumes with the outputs that it already has.

    Args:
        folder: the folder, which is created if needed.
        teacher: the teacher.
        image_cache: in-memory cache of decoded images.

    Raises:
        DataError: the folder cannot be created.
    """

    def __init__(self, folder: Path, teacher: Teacher, image_cache: ImageCache) -> None:
        self.folder, self.teacher, self.image_cache = folder, teacher, image_cache
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot write to {folder}: {error.strerror}") from None

    def get(self, photo: Path, crop_name: str, crop: F32) -> F32:
        """Return the teacher's output for a crop, computed at most once.

        Args:
            photo: the photo's file.
            crop_name: text that identifies the crop among those of the photo.
            crop: float32 3,H,W in [-1, 1].

        Returns:
            float32 3,H,W in [-1, 1].

        Raises:
            DataError: a file cannot be read or written.
        """
        path = self.folder / f"{self.file_key(photo, crop_name)}.png"
        return pack(self.image_cache.get(path) if path.exists() else self._compute(path, crop))

    def file_key(self, photo: Path, crop_name: str) -> str:
        """Return the file name of a cached output, without its extension."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.teacher.cache_key, photo_hash(photo), crop_name):
            digest.update(part.encode() + b"\0")
        return digest.hexdigest()

    def _compute(self, path: Path, crop: F32) -> U8:
        image = self.teacher.predict(crop)
        data = encode_image(image, ".png")
        assert data is not None
        try:
            with atomic_write(path) as temporary:
                temporary.write_bytes(data)
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror}") from None
        return self.image_cache.add(path, image)


@functools.cache
def photo_hash(photo: Path) -> str:
    """Return a hash of a photo's file.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return hashlib.blake2b(photo.read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {photo}: {error.strerror}") from None
