"""InstanceNorm with frozen or external statistics."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cgt.runtime.errors import UsageError
from cgt.runtime.image.preprocess import F32
from cgt.runtime.utils.progress import progress_bar

from ..quantization.hooks import record_activations

_InstanceNorm = nn.modules.instancenorm._InstanceNorm


def instance_norms(network: nn.Module) -> dict[str, _InstanceNorm]:
    """Map module names to InstanceNorms, in the order of the network.

    Raises UsageError if there are none.
    """
    norms = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, _InstanceNorm) and not module.track_running_stats
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
        batch_norm = nn.BatchNorm2d(norm.num_features, norm.eps, affine=norm.affine)
        if norm.affine:
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


class _ExternalStatisticsNorm(nn.Module):
    """Norm of (N, C, H, W) of any type, computed in FP32.

    `statistics_in` is set before a call, `statistics_out` is read after it.
    """

    statistics_in: Tensor
    statistics_out: Tensor

    def __init__(self, norm: _InstanceNorm, offset: int) -> None:
        super().__init__()
        self.norm = norm
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        x32, channels = x.float(), self.norm.num_features
        mean = x32.mean((2, 3))
        # One pass less than subtracting the mean first. In FP32 this loses digits only if a
        # channel's mean is a thousand times its deviation.
        variance = ((x32 * x32).mean((2, 3)) - mean * mean).clamp(min=0)
        weight = self.statistics_in[:, :1]
        own_statistics_in = self.statistics_in[:, self.offset : self.offset + 2 * channels]
        self.statistics_out = weight * own_statistics_in + (1 - weight) * torch.cat(
            [mean, variance], 1
        )
        mean, variance = self.statistics_out[:, :channels], self.statistics_out[:, channels:]
        scale = torch.rsqrt(variance + self.norm.eps)
        if self.norm.affine:
            scale = scale * self.norm.weight
        shift = -mean * scale
        if self.norm.affine:
            shift = shift + self.norm.bias
        out: Tensor = x32 * scale[:, :, None, None] + shift[:, :, None, None]
        return out.to(x.dtype)


def _replace_module(network: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, new)
