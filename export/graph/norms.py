"""InstanceNorm in other forms: decomposed for FP16, with frozen or with external statistics."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cgt.runtime.errors import UsageError
from cgt.runtime.image.preprocess import F32
from cgt.runtime.utils.progress import progress_bar

from ..quantization.hooks import record_activations

_InstanceNorm = nn.modules.instancenorm._InstanceNorm

MAX_PIXELS_PER_SUM = 1 << 14
"""TensorRT-RTX 1.7.1 sums up to this many pixels of a channel in one kernel. Beyond it, it writes
the image in FP32 and reads it twice."""


def instance_norms(network: nn.Module) -> dict[str, _InstanceNorm | DecomposedNorm]:
    """Map module names to InstanceNorms of either form, in the order of the network.

    Raises UsageError if there are none.
    """
    norms = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, DecomposedNorm)
        or (isinstance(module, _InstanceNorm) and not module.track_running_stats)
    }
    if not norms:
        raise UsageError(
            "this network has no InstanceNorm whose statistics could be frozen or streamed; "
            "omit --norm"
        )
    return norms


def require_norms_run_once(network: nn.Module, image: F32) -> None:
    """Check that each InstanceNorm has one input per image, so that it has one set of statistics.

    Args:
        network: Network of another project's code.
        image: float32 (C, H, W) in [-1, 1].

    Raises:
        UsageError: One runs never or several times.
    """
    runs = dict.fromkeys(instance_norms(network), 0)

    def count(name: str, _: nn.Module, __: Tensor, ___: Tensor) -> None:
        runs[name] += 1

    with record_activations(network, _InstanceNorm, count), torch.no_grad():
        network(torch.from_numpy(image[None]))
    if repeated := [name for name, number in runs.items() if number != 1]:
        raise UsageError(
            f"the norm {repeated[0]} runs {runs[repeated[0]]} times in their code; omit --norm"
        )


# ---- Decomposed ----------------------------------------------------------------------------------


class DecomposedNorm(nn.Module):
    """InstanceNorm of (N, C, H, W) of any type: statistics in FP32, applied in the input's type.

    A GPU then reads and writes FP16 images only; a whole norm in FP32 makes it convert each image
    before and after. The sums need FP32 (see `ReducedPrecision`). The image is centered before it
    is scaled, because its values times the scale may exceed FP16's range. The variance is the mean
    of squares minus the squared mean, which needs one pass less than centering first. In FP32 this
    loses digits only if a channel's mean is a thousand times its deviation.

    Args:
        norm: The norm to replace; parameters are shared.

    Attributes:
        sums_rows_first: Whether sums over an image are computed in two steps.
    """

    def __init__(self, norm: _InstanceNorm | DecomposedNorm) -> None:
        super().__init__()
        self.num_features: int = norm.num_features
        self.eps: float = norm.eps
        self.weight: nn.Parameter | None = norm.weight
        self.bias: nn.Parameter | None = norm.bias
        self.sums_rows_first: bool = isinstance(norm, DecomposedNorm) and norm.sums_rows_first

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.measure(x)
        return self.apply_statistics(x, mean, variance)

    def measure(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the variance of each channel, (N, C) float32."""
        x32 = x.float()
        mean = self._mean(x32)
        return mean, (self._mean(x32 * x32) - mean * mean).clamp(min=0)

    def _mean(self, x: Tensor) -> Tensor:
        return x.mean(3).mean(2) if self.sums_rows_first else x.mean((2, 3))

    def apply_statistics(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Normalize x by (N, C) float32 statistics."""
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        if x.dtype == torch.float32:  # its range is no concern, so save an operation
            shift = -mean * scale if self.bias is None else self.bias - mean * scale
            return x * _per_pixel(scale, x) + _per_pixel(shift, x)
        out = (x - _per_pixel(mean, x)) * _per_pixel(scale, x)
        return out if self.bias is None else out + _per_pixel(self.bias, x)


def _per_pixel(values: Tensor, x: Tensor) -> Tensor:
    """Return values of channels in the type of x, with a shape that broadcasts to it."""
    return values[..., None, None].to(x.dtype)


def split_large_sums(network: nn.Module, image_shape: tuple[int, int, int, int]) -> None:
    """Set `sums_rows_first`, in place, of the norms over more than MAX_PIXELS_PER_SUM pixels.

    Args:
        network: A network from an image to an image.
        image_shape: (N, C, H, W) of its usual input.
    """
    probe = copy.deepcopy(network).to("meta")  # computes shapes only
    norms = [
        [module for module in each.modules() if isinstance(module, DecomposedNorm)]
        for each in (network, probe)
    ]
    for norm, probed in zip(*norms, strict=True):

        def set_form(_: nn.Module, inputs: tuple[Tensor], norm: DecomposedNorm = norm) -> None:
            height, width = inputs[0].shape[2:]
            norm.sums_rows_first = height * width > MAX_PIXELS_PER_SUM

        probed.register_forward_pre_hook(set_form)
    with torch.no_grad():
        probe(torch.empty(image_shape, device="meta"))


# ---- Frozen --------------------------------------------------------------------------------------


def freeze_norms(network: nn.Module, frames: Iterable[F32]) -> None:
    """Replace, in place, every InstanceNorm by fixed statistics.

    The statistics are the means, over float32 (3, H, W) images, of its means and of its variances.
    Three alternatives came out within 2 dB: statistics of all images at once, means of deviations,
    and statistics taken norm by norm behind frozen ones.
    """
    norms = instance_norms(network)
    sums: dict[str, list[Tensor]] = {}

    def record(name: str, _: nn.Module, x: Tensor, __: Tensor) -> None:
        variances, means = torch.var_mean(x.double(), (0, 2, 3), correction=0)
        total = sums.setdefault(name, [torch.zeros_like(means), torch.zeros_like(means)])
        total[0] += means
        total[1] += variances

    frames = list(frames)
    with (
        record_activations(network, _InstanceNorm, record),
        torch.no_grad(),
        progress_bar("freezing", len(frames)) as bar,
    ):
        for frame in frames:
            network(torch.from_numpy(frame[None]))
            bar.advance()
    for name, norm in norms.items():
        batch_norm = nn.BatchNorm2d(norm.num_features, norm.eps, affine=norm.weight is not None)
        if norm.weight is not None and norm.bias is not None:
            batch_norm.weight, batch_norm.bias = norm.weight, norm.bias
        means, variances = (total / len(frames) for total in sums[name])
        assert batch_norm.running_mean is not None
        assert batch_norm.running_var is not None
        batch_norm.running_mean.copy_(means)
        batch_norm.running_var.copy_(variances)
        _replace_module(network, name, batch_norm.eval())


def fold_norms(network: nn.Module) -> None:
    """Fold every norm with fixed statistics into the convolution before it, in place.

    The function stays the same up to rounding.
    """
    for parent in list(network.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        for index in range(len(parent) - 1):
            holder, position = parent, index
            while isinstance(inner := holder[position], nn.Sequential):  # its last layer
                holder, position = inner, len(inner) - 1
            convolution, norm = holder[position], parent[index + 1]
            if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None:
                continue
            if isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d):
                transposed = isinstance(convolution, nn.ConvTranspose2d)
                holder[position] = fuse_conv_bn_eval(convolution, norm, transposed)
                parent[index + 1] = nn.Identity()


# ---- Stream --------------------------------------------------------------------------------------


def statistics_size(network: nn.Module) -> int:
    """Return the length of the statistics tensors: a weight, then means and variances."""
    return 1 + 2 * sum(norm.num_features for norm in instance_norms(network).values())


class ExternalStatistics(nn.Module):
    """A network whose norms take statistics as an input.

    It maps (image, statistics_in) to (image, statistics_out), in the layout that
    `cgt.runtime.models.metadata` describes. The network's InstanceNorms are replaced in place.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.statistics = statistics_size(network)
        self._norms: list[_ExternalStatisticsNorm] = []
        offset = 1
        for name, norm in instance_norms(network).items():
            external_norm = _ExternalStatisticsNorm(norm, offset)
            offset += 2 * norm.num_features
            self._norms.append(external_norm)
            _replace_module(network, name, external_norm)

    def forward(self, image: Tensor, statistics_in: Tensor) -> tuple[Tensor, Tensor]:
        for norm in self._norms:
            norm.statistics_in = statistics_in
        out = self.network(image)
        return out, torch.cat(
            [statistics_in[:, :1], *(norm.statistics_out for norm in self._norms)], 1
        )


class _ExternalStatisticsNorm(DecomposedNorm):
    """`statistics_in` is set before a call, `statistics_out` is read after it."""

    statistics_in: Tensor
    statistics_out: Tensor

    def __init__(self, norm: _InstanceNorm | DecomposedNorm, offset: int) -> None:
        super().__init__(norm)
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        channels = self.num_features
        weight = self.statistics_in[:, :1]
        own_statistics_in = self.statistics_in[:, self.offset : self.offset + 2 * channels]
        self.statistics_out = weight * own_statistics_in + (1 - weight) * torch.cat(
            self.measure(x), 1
        )
        mean, variance = self.statistics_out[:, :channels], self.statistics_out[:, channels:]
        return self.apply_statistics(x, mean, variance)


def _replace_module(network: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, new)
