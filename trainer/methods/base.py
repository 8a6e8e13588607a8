"""Base class of the training methods: networks, optimizers, optimization steps and state.

A step updates the generators, then the discriminators, if there are any. With `accumulate`, each
update uses the gradients of several batches. Batches are N,C,S,S float32 in [-1, 1].
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cgt.runtime.models.metadata import Direction

from ..config import TrainConfig
from ..distributed import DistributedContext, SingleProcess
from ..networks import (
    PatchDiscriminator,
    PixelDiscriminator,
    build_generator,
    init_generator,
    init_weights,
)
from ..networks.projected import ProjectedDiscriminator
from ..networks.training_layers import use_training_layers
from ..precision import Precision
from .image_pool import ImagePool
from .losses import GAN_LOSSES

Losses = dict[str, Tensor]
Batch = tuple[Tensor, Tensor]  # from A and from B


class Method(ABC):
    """Generators, discriminators, their optimizers and image pools.

    Subclasses build the networks and define the losses.

    Args:
        config: Settings of the run.
        device: Device of the networks.
        autocast_dtype: Type of autocast; None means float32.
        distributed: Communication with other processes; by default there are none.

    Attributes:
        paired: Whether the method trains on image pairs.
        sample_columns: Names of the images in a row of `sample`.
        generators: Generators by their names in checkpoints.
        discriminators: Discriminators by their names in checkpoints.
    """

    paired: ClassVar[bool]
    sample_columns: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        autocast_dtype: torch.dtype | None,
        distributed: DistributedContext | None = None,
    ) -> None:
        self.config, self.device = config, device
        self.precision = Precision(device, autocast_dtype)
        self.distributed = distributed or SingleProcess(device)
        self.gan_loss = GAN_LOSSES[config.gan_loss]
        torch.manual_seed(config.seed)
        self.generators, self.discriminators = self._build_networks()
        self.networks = self.generators | self.discriminators
        for network in self.networks.values():
            self._prepare_network(network)
        self.ddp_networks = {n: self.distributed.wrap_ddp(net) for n, net in self.networks.items()}
        trained = {"G": self.generators, "D": self.discriminators}
        self.optimizers = {
            name: self._create_optimizer(networks) for name, networks in trained.items() if networks
        }
        self.scaler = self.precision.make_grad_scaler()
        # Samples and exports use the moving average, which does not fluctuate with each batch.
        self.ema_generators = {
            name: AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.ema))  # type: ignore[no-untyped-call]
            for name, network in self.generators.items()
            if config.ema
        }
        self.image_pools = {
            "A": ImagePool(config.pool_size, config.seed),
            "B": ImagePool(config.pool_size, config.seed + 1),
        }

    # ---- Interface of subclasses -----------------------------------------------------------------

    @abstractmethod
    def _build_networks(self) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
        """Build generators and discriminators, by their names in checkpoints."""

    @abstractmethod
    def generator_losses(self, a: Tensor, b: Tensor) -> tuple[Losses, tuple[Tensor, ...]]:
        """Compute the generator losses of a batch.

        Args:
            a: Images of A, N,C,S,S float32 in [-1, 1].
            b: Images of B, likewise.

        Returns:
            Weighted scalar losses by name, and the generated inputs of the discriminators.
        """

    @abstractmethod
    def discriminator_losses(self, a: Tensor, b: Tensor, generated: tuple[Tensor, ...]) -> Losses:
        """Compute the discriminator losses of a batch and detached generated images.

        Args:
            a: Images of A, N,C,S,S float32 in [-1, 1].
            b: Images of B, likewise.
            generated: Generated inputs of the discriminators, from `generator_losses`.

        Returns:
            Scalar losses by name.
        """

    @abstractmethod
    def sample(self, a: Tensor, b: Tensor) -> list[Tensor]:
        """Return a row of sample images, 1,C,S,S each, in the order of `sample_columns`."""

    # ---- Building --------------------------------------------------------------------------------

    def create_generator(self, direction: Direction) -> nn.Module:
        """Build and initialize the generator of a direction."""
        network = build_generator(self.config.generator_config_for(direction))
        init_generator(network, self.config.init, self.config.init_gain)
        return network

    def create_discriminator(self, channels: int) -> nn.Module:
        """Build and initialize a discriminator of images with some number of channels."""
        config = self.config
        if config.discriminator == "projected":
            return ProjectedDiscriminator(config.ndf)
        norm = config.discriminator_norm
        network: nn.Module
        if config.discriminator == "pixel":
            network = PixelDiscriminator(config.ndf, channels, norm)
        else:
            network = PatchDiscriminator(config.ndf, channels, config.d_layers, norm)
        init_weights(network, "normal" if config.init == "auto" else config.init, config.init_gain)
        return network

    def _prepare_network(self, network: nn.Module) -> None:
        network.to(self.device)
        use_training_layers(network, self.device, self.config.channels_last)
        if self.config.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.config.compile:
            network.compile()

    def _create_optimizer(self, networks: dict[str, nn.Module]) -> torch.optim.Adam:
        parameters = [p for network in networks.values() for p in network.parameters()]
        betas = (self.config.beta1, 0.999)
        return torch.optim.Adam(parameters, lr=self.config.lr, betas=betas, fused=True)

    def to_device(self, batch: Tensor) -> Tensor:
        """Move a batch to the device, in the memory format of the networks."""
        memory_format = (
            torch.channels_last if self.config.channels_last else torch.contiguous_format
        )
        return batch.to(self.device, memory_format=memory_format, non_blocking=True)

    # ---- Optimization step -----------------------------------------------------------------------

    def step(self, a: Tensor, b: Tensor, position: int) -> Losses:
        """Run one optimization step on `accumulate` batches.

        Args:
            a: Images of A, N,C,S,S float32 in [-1, 1]; the batches follow each other along N.
            b: Images of B, likewise.
            position: Position in the learning rate schedule, in its unit.

        Returns:
            Detached scalar losses by name, averaged over the batches.
        """
        self._set_learning_rate(position)
        count = self.config.accumulate
        batches = list(
            zip(self.to_device(a).chunk(count), self.to_device(b).chunk(count), strict=True)
        )
        # The discriminators pass gradients to the generators but do not need their own.
        self._set_discriminators_require_grad(False)
        generated, all_losses = [], []
        self.optimizers["G"].zero_grad(set_to_none=True)
        for batch in batches:
            with self.precision.autocast_context():
                losses, fakes = self.generator_losses(*batch)
            self._backward(losses)
            generated.append(tuple(fake.detach().float() for fake in fakes))
            all_losses.append(_detached(losses))
        self._optimizer_step("G", self.generators)

        if self.discriminators:
            self._discriminator_step(batches, generated, all_losses)
        self.scaler.update()
        for name, average in self.ema_generators.items():
            average.update_parameters(self.networks[name])
        return {
            name: torch.stack([each[name] for each in all_losses]).mean() for name in all_losses[0]
        }

    def _discriminator_step(
        self, batches: list[Batch], generated: list[tuple[Tensor, ...]], all_losses: list[Losses]
    ) -> None:
        """Update the discriminators on pooled fakes, and add their losses to `all_losses`."""
        self._set_discriminators_require_grad(True)
        self.optimizers["D"].zero_grad(set_to_none=True)
        for batch, fakes, losses in zip(batches, generated, all_losses, strict=True):
            with self.precision.autocast_context():
                d_losses = self.discriminator_losses(*batch, fakes)
            self._backward(d_losses)
            losses.update(_detached(d_losses))
        self._optimizer_step("D", self.discriminators)

    def _set_learning_rate(self, position: int) -> None:
        rate = self.config.lr * self.config.lr_schedule.factor(position)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def _set_discriminators_require_grad(self, requires_grad: bool) -> None:
        for discriminator in self.discriminators.values():
            discriminator.requires_grad_(requires_grad)

    def _backward(self, losses: Losses) -> None:
        total = torch.stack(list(losses.values())).sum() / self.config.accumulate
        self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]

    def _optimizer_step(self, name: str, networks: dict[str, nn.Module]) -> None:
        optimizer = self.optimizers[name]
        if self.config.clip_grad:
            self.scaler.unscale_(optimizer)
            for network in networks.values():
                nn.utils.clip_grad_norm_(network.parameters(), self.config.clip_grad)
        self.scaler.step(optimizer)

    # ---- Discriminator losses --------------------------------------------------------------------

    def query_pool(self, side: str, fakes: Tensor) -> Tensor:
        """Exchange generated images with the pool of older ones.

        All processes keep the same pool, and each gets its part of the result, so together they see
        the same images as a single process.
        """
        pooled = self.image_pools[side].query(self.distributed.gather(fakes))
        return pooled.chunk(self.distributed.world_size)[self.distributed.rank]

    def real_fake_loss(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Return half the sum of real and fake loss, which slows D relative to G (section 7.1)."""
        # One pass is enough unless a BatchNorm would mix the statistics of both.
        if real.shape == fake.shape and self.config.discriminator_norm != "batch":
            logits_real, logits_fake = discriminator(torch.cat([real, fake])).chunk(2)
        else:
            logits_real, logits_fake = discriminator(real), discriminator(fake)
        return 0.5 * (self.gan_loss.real(logits_real) + self.gan_loss.fake(logits_fake))

    # ---- Evaluation and state --------------------------------------------------------------------

    @contextlib.contextmanager
    def eval_generators(self) -> Iterator[dict[str, nn.Module]]:
        """Yield the generators as exported: in eval mode, without gradients.

        If the run keeps moving averages, these replace the generators.
        """
        generators: dict[str, nn.Module] = {
            name: self.ema_generators.get(name, network)
            for name, network in self.generators.items()
        }
        for network in generators.values():
            network.eval()
        with torch.no_grad(), self.precision.autocast_context():
            yield generators
        for network in generators.values():
            network.train()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that later steps depend on, by checkpoint key."""
        return {
            "networks": {name: net.state_dict() for name, net in self.networks.items()},
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers.items()},
            "pools": {name: pool.state_dict() for name, pool in self.image_pools.items()},
            "averages": {name: avg.state_dict() for name, avg in self.ema_generators.items()},
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for name, average in self.ema_generators.items():
            average.load_state_dict(state["averages"][name])
        for name, pool in self.image_pools.items():
            pool.load_state_dict(state["pools"][name], self.device)
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])


def _detached(losses: Losses) -> Losses:
    return {name: loss.detach() for name, loss in losses.items()}
