"""Layer-wise reconstruction: weights of a student fitted to its teacher's activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .channel_selection import ResnetLayers, run_layers
from .conv_layers import ConvLayer
from .least_squares import AffineFit, LeastSquares

SAMPLES_PER_IMAGE = 2048  # output pixels of each photo that a convolution is fitted at
RELU_ITERATIONS = 5  # fits of a layer before a ReLU
NORM_EPS = 1e-5  # of InstanceNorm
RESIDUAL_SHARE = 0.5  # share of the trunk's error that a block compensates for
MIN_REL_VARIANCE = 0.1  # lower bound of a photo's variance relative to the mean, for its weight

FeatureMaps = list[Tensor]  # one 1,C,H,W tensor per photo


@dataclass
class _LayerTargets:
    """Targets of a layer for one photo: P pixels of the kept channels, P,out each."""

    positions: Tensor
    output_width: int
    conv_output: Tensor  # target of the convolution
    norm_output: Tensor  # target of its norm
    variance: Tensor  # out: variance of the teacher's convolution over the photo
    norm_slope: Tensor  # out: derivative of the teacher's norm


class LayerReconstruction:
    """Runs both networks layer by layer on all photos, and sets the student's weights.

    Args:
        photos: 1,C,H,W each, all of one size.
        advance: called after each convolution.
    """

    def __init__(self, photos: Sequence[Tensor], advance: Callable[[], None]) -> None:
        self.teacher_features, self.student_features = list(photos), list(photos)
        self._on_layer_done = advance
        self._generator = torch.Generator().manual_seed(0)

    def reconstruct_layers(
        self, old: Sequence[ConvLayer], new: Sequence[ConvLayer], channels: Sequence[Tensor]
    ) -> None:
        """Fit a sequence of layers.

        Args:
            old: layers of the teacher.
            new: layers of the student.
            channels: kept channels before the first layer and after each one.
        """
        for one, copy, before, after in zip(old, new, channels[:-1], channels[1:], strict=True):
            self.teacher_features, targets = self._record_targets(one, self.teacher_features, after)
            self.student_features = self._fit_layer(
                one, copy, before, after, self.student_features, targets
            )

    def reconstruct_blocks(
        self,
        teacher_layers: ResnetLayers,
        student_layers: ResnetLayers,
        kept: Sequence[int],
        trunk: Tensor,
        inner: Sequence[Tensor],
    ) -> None:
        """Fit the residual blocks.

        Args:
            teacher_layers: the teacher, with all blocks.
            student_layers: the student.
            kept: indices of the teacher's blocks that the student has.
            trunk: kept channels between blocks.
            inner: kept channels within each block.
        """
        self._forward_teacher(teacher_layers, range(kept[0]))
        ends = [*kept[1:], len(teacher_layers.blocks)]
        for k, end, copies, between in zip(kept, ends, student_layers.blocks, inner, strict=True):
            one, two = teacher_layers.blocks[k]
            hidden, first = self._record_targets(one, self.teacher_features, between)
            hidden_student = self._fit_layer(
                one, copies[0], trunk, between, self.student_features, first
            )
            branch, second = self._record_targets(two, hidden, trunk)
            self.teacher_features = [
                x + y for x, y in zip(self.teacher_features, branch, strict=True)
            ]
            self._forward_teacher(teacher_layers, range(k + 1, end))
            for target, x, s in zip(
                second, self.teacher_features, self.student_features, strict=True
            ):
                self._add_residual_target(two, target, x[:, trunk] - s, trunk)
            added = self._fit_layer(two, copies[1], between, trunk, hidden_student, second)
            self.student_features = [
                s + y for s, y in zip(self.student_features, added, strict=True)
            ]

    def _forward_teacher(self, teacher_layers: ResnetLayers, blocks: Sequence[int]) -> None:
        """Run blocks of the teacher that the student does not have."""
        for k in blocks:
            self.teacher_features = [
                x + run_layers(teacher_layers.blocks[k], x) for x in self.teacher_features
            ]

    def _record_targets(
        self, layer: ConvLayer, inputs: FeatureMaps, channels: Tensor
    ) -> tuple[FeatureMaps, list[_LayerTargets]]:
        """Return the outputs of the teacher's layer, and the targets of the student's."""
        outputs, targets = [], []
        for x in inputs:
            conv_output = layer.convolve(x)
            norm_output = conv_output if layer.norm is None else layer.norm(conv_output)
            count, width = conv_output[0, 0].numel(), conv_output.shape[3]
            positions = torch.randperm(count, generator=self._generator)[:SAMPLES_PER_IMAGE]
            flat = conv_output[0, channels].flatten(1)
            norm_target = norm_output[0, channels].flatten(1)[:, positions].T
            variance = flat.var(1, correction=0)
            slope = layer.norm_scale[channels] / (variance + NORM_EPS).sqrt()
            targets.append(
                _LayerTargets(positions, width, flat[:, positions].T, norm_target, variance, slope)
            )
            outputs.append(layer.after(norm_output))
        return outputs, targets

    @staticmethod
    def _add_residual_target(
        layer: ConvLayer, target: _LayerTargets, missing: Tensor, channels: Tensor
    ) -> None:
        """Add half of the trunk's error to the targets of a block.

        The target of the convolution changes by the same amount before the norm, unless the norm's
        scale is nearly zero. The whole error is too much: a block cannot predict all of it, and the
        remainder becomes noise.

        Args:
            layer: second layer of the teacher's block.
            target: targets to change.
            missing: teacher's trunk after the block minus the student's before it, 1,out,H,W.
            channels: kept channels.
        """
        missing = missing[0].flatten(1)[:, target.positions].T
        correction = RESIDUAL_SHARE * (missing - target.norm_output)
        target.norm_output = target.norm_output + correction
        if layer.norm is None:
            target.conv_output = target.norm_output
            return
        scale = layer.norm_scale[channels].abs()
        invertible = scale > 0.05 * scale.max()
        inverse_slope = torch.where(
            invertible, 1 / torch.where(invertible, target.norm_slope, 1.0), 0.0
        )
        target.conv_output = target.conv_output + correction * inverse_slope

    def _fit_layer(
        self,
        old: ConvLayer,
        new: ConvLayer,
        kept_in: Tensor,
        kept_out: Tensor,
        inputs: FeatureMaps,
        targets: Sequence[_LayerTargets],
    ) -> FeatureMaps:
        """Set the weights of `new` and return its outputs."""
        weight = old.weight[kept_out][:, kept_in]
        if new.norm is None:
            self._solve_without_norm(old, new, weight, kept_out, inputs, targets)
            outputs = [new.apply_norm_and_activation(new.convolve(x)) for x in inputs]
        else:
            self._solve_with_norm(new, weight, inputs, targets)
            conv_outputs = [new.convolve(x) for x in inputs]
            self._fit_norm(new, conv_outputs, targets)
            outputs = [new.apply_norm_and_activation(z) for z in conv_outputs]
        self._on_layer_done()
        return outputs

    def _solve_with_norm(
        self, new: ConvLayer, weight: Tensor, inputs: FeatureMaps, targets: Sequence[_LayerTargets]
    ) -> None:
        """Fit a convolution before a norm; means are removed, because the norm removes them."""
        mean_variance = torch.stack([t.variance for t in targets]).mean(0).clamp_min(1e-12)
        sums, solved = LeastSquares(weight[0].numel(), len(weight)), weight.flatten(1)
        for iteration in range(RELU_ITERATIONS if new.has_relu else 1):
            sums.cross.zero_()
            for x, t in zip(inputs, targets, strict=True):
                relative_variance = (t.variance / mean_variance).mean()
                photo_weight = float(relative_variance.clamp_min(MIN_REL_VARIANCE)) ** -0.5
                patches = new.unfold_at(x, t.positions, t.output_width)
                patches = photo_weight * (patches - patches.mean(0))
                target = photo_weight * (t.conv_output - t.conv_output.mean(0))
                if iteration:
                    output = patches @ solved.T
                    normed = t.norm_output + (output - target) * t.norm_slope / photo_weight
                    target = torch.where(_both_inactive(t.norm_output, normed), output, target)
                    sums.add(patches, target - target.mean(0), gram=False)
                else:
                    sums.add(patches, target)
            solved = sums.solve(weight.flatten(1))
        new.set_weight(solved.view_as(weight))
        if new.conv.bias is not None:
            nn.init.zeros_(new.conv.bias)

    @staticmethod
    def _fit_norm(
        new: ConvLayer, conv_outputs: FeatureMaps, targets: Sequence[_LayerTargets]
    ) -> None:
        assert new.norm is not None
        norm, normalized = new.norm, []
        for z, t in zip(conv_outputs, targets, strict=True):
            flat = z[0].flatten(1)
            mean, deviation = flat.mean(1), (flat.var(1, correction=0) + norm.eps).sqrt()
            normalized.append((flat[:, t.positions].T - mean) / deviation)
        for iteration in range(RELU_ITERATIONS if new.has_relu else 1):
            fit = AffineFit(norm.num_features)
            for x, t in zip(normalized, targets, strict=True):
                y = t.norm_output
                if iteration:
                    output = x * norm.weight + norm.bias
                    y = torch.where(_both_inactive(y, output), output, y)
                fit.add(x, y)
            scale, shift = fit.solve()
            norm.weight.data.copy_(scale)
            norm.bias.data.copy_(shift)

    @staticmethod
    def _solve_without_norm(
        old: ConvLayer,
        new: ConvLayer,
        weight: Tensor,
        kept_out: Tensor,
        inputs: FeatureMaps,
        targets: Sequence[_LayerTargets],
    ) -> None:
        """Fit a convolution without a norm, including its bias.

        Each pixel is weighted by the derivative of the activation after the convolution.
        """
        bias = (
            torch.zeros(len(weight)) if old.conv.bias is None else old.conv.bias.detach()[kept_out]
        )
        prior = torch.cat([weight.flatten(1), bias[:, None]], 1)
        sums, solved = LeastSquares(prior.shape[1], len(weight)), prior
        for iteration in range(RELU_ITERATIONS if new.has_relu else 1):
            sums.cross.zero_()
            for x, t in zip(inputs, targets, strict=True):
                patches = new.unfold_at(x, t.positions, t.output_width)
                patches = torch.cat([patches, patches.new_ones(len(patches), 1)], 1)
                target = t.conv_output
                slope = _activation_slope(old, target).mean(1, keepdim=True)
                if iteration:
                    output = patches @ solved.T
                    target = torch.where(_both_inactive(target, output), output, target)
                sums.add(slope * patches, slope * target, gram=not iteration)
            solved = sums.solve(prior)
        new.set_weight(solved[:, :-1].reshape(weight.shape))
        assert new.conv.bias is not None
        new.conv.bias.data.copy_(solved[:, -1])


def _both_inactive(target: Tensor, output: Tensor) -> Tensor:
    """Return where a ReLU sets both to zero, so that their difference does not matter."""
    return (target <= 0) & (output <= 0)


def _activation_slope(layer: ConvLayer, conv_output: Tensor) -> Tensor:
    """Return the derivative of the tanh or sigmoid after a convolution, otherwise 1."""
    for module in layer.after:
        if isinstance(module, nn.Tanh):
            return 1 - conv_output.tanh().square()
        if isinstance(module, nn.Sigmoid):
            return 4 * conv_output.sigmoid() * (1 - conv_output.sigmoid())
    return torch.ones_like(conv_output)
