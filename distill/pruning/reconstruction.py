"""Weights of one convolution after the other, solved on what a teacher and a copy of it make of the
same photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .channel_selection import ResnetLayers, run_layers
from .conv_layers import ConvLayer
from .least_squares import AffineFit, LeastSquares

SAMPLES_PER_IMAGE = 2048  # of each photo that a convolution is solved at
RELU_ITERATIONS = 5  # of solving anew what comes before a ReLU
NORM_EPS = 1e-5  # of a norm
RESIDUAL_SHARE = 0.5  # of what a copy's trunk lacks so far, that a block is asked for
MIN_REL_VARIANCE = 0.1  # of the usual variance: photos that have less count as if they had this

FeatureMaps = list[Tensor]  # 1,C,H,W of each photo


@dataclass
class _LayerTargets:
    """Of one photo, P places, and the channels that are kept, P,out each."""

    positions: Tensor
    output_width: int  # of the output
    conv_output: Tensor  # what the convolution shall give
    norm_output: Tensor  # what its norm shall make of that
    variance: Tensor  # out: of the teacher's, over the photo
    norm_slope: Tensor  # out: of its norm


class LayerReconstruction:
    """Goes through both networks layer by layer, with all photos at once."""

    def __init__(self, photos: Sequence[Tensor], advance: Callable[[], None]) -> None:
        self.teacher_features, self.student_features = list(photos), list(photos)
        self._on_layer_done = advance
        self._generator = torch.Generator().manual_seed(0)

    def reconstruct_layers(
        self, old: Sequence[ConvLayer], new: Sequence[ConvLayer], channels: Sequence[Tensor]
    ) -> None:
        """channels: that are kept before the first of them, and after each."""
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
        """kept: the blocks of the teacher that the copy has; trunk, inner: its channels."""
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
        """The teacher alone: blocks that the copy does not have."""
        for k in blocks:
            self.teacher_features = [
                x + run_layers(teacher_layers.blocks[k], x) for x in self.teacher_features
            ]

    def _record_targets(
        self, layer: ConvLayer, inputs: FeatureMaps, channels: Tensor
    ) -> tuple[FeatureMaps, list[_LayerTargets]]:
        """What the teacher's layer makes of each photo, and what the copy's shall."""
        outputs, targets = [], []
        for x in inputs:
            conv_output = layer.convolve(x)
            norm_output = conv_output if layer.norm is None else layer.norm(conv_output)
            count, width = conv_output[0, 0].numel(), conv_output.shape[3]
            positions = torch.randperm(count, generator=self._generator)[:SAMPLES_PER_IMAGE]
            flat = conv_output[0, channels].flatten(1)
            shown = norm_output[0, channels].flatten(1)[:, positions].T
            variance = flat.var(1, correction=0)
            slope = layer.norm_scale[channels] / (variance + NORM_EPS).sqrt()
            targets.append(
                _LayerTargets(positions, width, flat[:, positions].T, shown, variance, slope)
            )
            outputs.append(layer.after(norm_output))
        return outputs, targets

    @staticmethod
    def _add_residual_target(
        layer: ConvLayer, target: _LayerTargets, missing: Tensor, channels: Tensor
    ) -> None:
        """The norm shall give half of what is `missing` (1,out,H,W) beyond what the teacher's
        gives, and the convolution what that was before the norm, so far as its scale leaves
        anything of it. All of it is too much: what a block cannot tell comes out as noise."""
        missing = missing[0].flatten(1)[:, target.positions].T
        more = RESIDUAL_SHARE * (missing - target.norm_output)
        target.norm_output = target.norm_output + more
        if layer.norm is None:
            target.conv_output = target.norm_output
            return
        scale = layer.norm_scale[channels].abs()
        loud = scale > 0.05 * scale.max()
        by = torch.where(loud, 1 / torch.where(loud, target.norm_slope, 1.0), 0.0)
        target.conv_output = target.conv_output + more * by

    def _fit_layer(
        self,
        old: ConvLayer,
        new: ConvLayer,
        kept_in: Tensor,
        kept_out: Tensor,
        inputs: FeatureMaps,
        targets: Sequence[_LayerTargets],
    ) -> FeatureMaps:
        """Set the weights of `new`; returns what it makes of its inputs."""
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
        """Before a norm, which takes each photo's mean away: so is it here."""
        usual = torch.stack([w.variance for w in targets]).mean(0).clamp_min(1e-12)
        sums, solved = LeastSquares(weight[0].numel(), len(weight)), weight.flatten(1)
        for turn in range(RELU_ITERATIONS if new.has_relu else 1):
            sums.cross.zero_()
            for x, w in zip(inputs, targets, strict=True):
                by = float((w.variance / usual).mean().clamp_min(MIN_REL_VARIANCE)) ** -0.5
                seen = new.unfold_at(x, w.positions, w.output_width)
                seen = by * (seen - seen.mean(0))
                target = by * (w.conv_output - w.conv_output.mean(0))
                if turn:
                    given = seen @ solved.T
                    normed = w.norm_output + (given - target) * w.norm_slope / by
                    target = torch.where(_both_inactive(w.norm_output, normed), given, target)
                    sums.add(seen, target - target.mean(0), gram=False)
                else:
                    sums.add(seen, target)
            solved = sums.solve(weight.flatten(1))
        new.set_weight(solved.view_as(weight))
        if new.conv.bias is not None:
            nn.init.zeros_(new.conv.bias)

    @staticmethod
    def _fit_norm(
        new: ConvLayer, conv_outputs: FeatureMaps, targets: Sequence[_LayerTargets]
    ) -> None:
        assert new.norm is not None
        norm, seen = new.norm, []
        for z, w in zip(conv_outputs, targets, strict=True):
            flat = z[0].flatten(1)
            mean, deviation = flat.mean(1), (flat.var(1, correction=0) + norm.eps).sqrt()
            seen.append((flat[:, w.positions].T - mean) / deviation)
        for turn in range(RELU_ITERATIONS if new.has_relu else 1):
            line = AffineFit(norm.num_features)
            for x, w in zip(seen, targets, strict=True):
                y = w.norm_output
                if turn:
                    given = x * norm.weight + norm.bias
                    y = torch.where(_both_inactive(y, given), given, y)
                line.add(x, y)
            scale, shift = line.solve()
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
        """Without a norm behind it: its bias counts, and a place as much as its pixel changes."""
        bias = (
            torch.zeros(len(weight)) if old.conv.bias is None else old.conv.bias.detach()[kept_out]
        )
        before = torch.cat([weight.flatten(1), bias[:, None]], 1)
        sums, solved = LeastSquares(before.shape[1], len(weight)), before
        for turn in range(RELU_ITERATIONS if new.has_relu else 1):
            sums.cross.zero_()
            for x, w in zip(inputs, targets, strict=True):
                seen = new.unfold_at(x, w.positions, w.output_width)
                seen = torch.cat([seen, seen.new_ones(len(seen), 1)], 1)
                target, by = (
                    w.conv_output,
                    _activation_slope(old, w.conv_output).mean(1, keepdim=True),
                )
                if turn:
                    given = seen @ solved.T
                    target = torch.where(_both_inactive(target, given), given, target)
                sums.add(by * seen, by * target, gram=not turn)
            solved = sums.solve(before)
        new.set_weight(solved[:, :-1].reshape(weight.shape))
        assert new.conv.bias is not None
        new.conv.bias.data.copy_(solved[:, -1])


def _both_inactive(target: Tensor, output: Tensor) -> Tensor:
    """Where a ReLU makes zero of both, so that it does not matter how far below they are."""
    return (target <= 0) & (output <= 0)


def _activation_slope(layer: ConvLayer, conv_output: Tensor) -> Tensor:
    """Of what comes after a convolution, tanh or a sigmoid; 1 where nothing does."""
    for module in layer.after:
        if isinstance(module, nn.Tanh):
            return 1 - conv_output.tanh().square()
        if isinstance(module, nn.Sigmoid):
            return 4 * conv_output.sigmoid() * (1 - conv_output.sigmoid())
    return torch.ones_like(conv_output)
