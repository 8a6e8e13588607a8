"""Weights of one convolution after the other, solved on what a teacher and a copy of it make of the
same photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .channels import Parts, run
from .layerwise import Layer
from .leastsquares import LeastSquares, Line

PLACES = 2048  # of each photo that a convolution is solved at
TURNS = 5  # of solving anew what comes before a ReLU
EPS = 1e-5  # of a norm
MENDED = 0.5  # of what a copy's trunk lacks so far, that a block is asked for
FAINT = 0.1  # of the usual variance: photos that have less count as if they had this

Pictures = list[Tensor]  # 1,C,H,W of each photo


@dataclass
class _Wanted:
    """Of one photo, P places, and the channels that are kept, P,out each."""

    places: Tensor
    width: int  # of the output
    mixed: Tensor  # what the convolution shall give
    normed: Tensor  # what its norm shall make of that
    variance: Tensor  # out: of the teacher's, over the photo
    slope: Tensor  # out: of its norm


class Solver:
    """Goes through both networks layer by layer, with all photos at once."""

    def __init__(self, photos: Sequence[Tensor], advance: Callable[[], None]) -> None:
        self.teacher, self.student = list(photos), list(photos)
        self._advance = advance
        self._random = torch.Generator().manual_seed(0)

    def layers(
        self, old: Sequence[Layer], new: Sequence[Layer], channels: Sequence[Tensor]
    ) -> None:
        """channels: that are kept before the first of them, and after each."""
        for one, copy, before, after in zip(old, new, channels[:-1], channels[1:], strict=True):
            self.teacher, wanted = self._see(one, self.teacher, after)
            self.student = self._fit(one, copy, before, after, self.student, wanted)

    def blocks(
        self, whole: Parts, own: Parts, kept: Sequence[int], trunk: Tensor, inner: Sequence[Tensor]
    ) -> None:
        """kept: the blocks of the teacher that the copy has; trunk, inner: its channels."""
        self._through(whole, range(kept[0]))
        ends = [*kept[1:], len(whole.blocks)]
        for k, end, copies, between in zip(kept, ends, own.blocks, inner, strict=True):
            one, two = whole.blocks[k]
            hidden, first = self._see(one, self.teacher, between)
            made = self._fit(one, copies[0], trunk, between, self.student, first)
            branch, second = self._see(two, hidden, trunk)
            self.teacher = [x + y for x, y in zip(self.teacher, branch, strict=True)]
            self._through(whole, range(k + 1, end))
            for wanted, x, s in zip(second, self.teacher, self.student, strict=True):
                self._mend(two, wanted, x[:, trunk] - s, trunk)
            added = self._fit(two, copies[1], between, trunk, made, second)
            self.student = [s + y for s, y in zip(self.student, added, strict=True)]

    def _through(self, whole: Parts, blocks: Sequence[int]) -> None:
        """The teacher alone: blocks that the copy does not have."""
        for k in blocks:
            self.teacher = [x + run(whole.blocks[k], x) for x in self.teacher]

    def _see(
        self, layer: Layer, inputs: Pictures, channels: Tensor
    ) -> tuple[Pictures, list[_Wanted]]:
        """What the teacher's layer makes of each photo, and what the copy's shall."""
        made, wanted = [], []
        for x in inputs:
            mixed = layer.mix(x)
            normed = mixed if layer.norm is None else layer.norm(mixed)
            count, width = mixed[0, 0].numel(), mixed.shape[3]
            places = torch.randperm(count, generator=self._random)[:PLACES]
            flat = mixed[0, channels].flatten(1)
            shown = normed[0, channels].flatten(1)[:, places].T
            variance = flat.var(1, correction=0)
            slope = layer.scale[channels] / (variance + EPS).sqrt()
            wanted.append(_Wanted(places, width, flat[:, places].T, shown, variance, slope))
            made.append(layer.after(normed))
        return made, wanted

    @staticmethod
    def _mend(layer: Layer, wanted: _Wanted, missing: Tensor, channels: Tensor) -> None:
        """The norm shall give half of what is `missing` (1,out,H,W) beyond what the teacher's
        gives, and the convolution what that was before the norm, so far as its scale leaves
        anything of it. All of it is too much: what a block cannot tell comes out as noise."""
        missing = missing[0].flatten(1)[:, wanted.places].T
        more = MENDED * (missing - wanted.normed)
        wanted.normed = wanted.normed + more
        if layer.norm is None:
            wanted.mixed = wanted.normed
            return
        scale = layer.scale[channels].abs()
        loud = scale > 0.05 * scale.max()
        by = torch.where(loud, 1 / torch.where(loud, wanted.slope, 1.0), 0.0)
        wanted.mixed = wanted.mixed + more * by

    def _fit(
        self,
        old: Layer,
        new: Layer,
        before: Tensor,
        after: Tensor,
        inputs: Pictures,
        wanted: Sequence[_Wanted],
    ) -> Pictures:
        """Set the weights of `new`; returns what it makes of its inputs."""
        weight = old.weight[after][:, before]
        if new.norm is None:
            self._solve_bare(old, new, weight, after, inputs, wanted)
            made = [new.finish(new.mix(x)) for x in inputs]
        else:
            self._solve(new, weight, inputs, wanted)
            mixed = [new.mix(x) for x in inputs]
            self._fit_norm(new, mixed, wanted)
            made = [new.finish(z) for z in mixed]
        self._advance()
        return made

    def _solve(
        self, new: Layer, weight: Tensor, inputs: Pictures, wanted: Sequence[_Wanted]
    ) -> None:
        """Before a norm, which takes each photo's mean away: so is it here."""
        usual = torch.stack([w.variance for w in wanted]).mean(0).clamp_min(1e-12)
        sums, solved = LeastSquares(weight[0].numel(), len(weight)), weight.flatten(1)
        for turn in range(TURNS if new.has_relu else 1):
            sums.cross.zero_()
            for x, w in zip(inputs, wanted, strict=True):
                by = float((w.variance / usual).mean().clamp_min(FAINT)) ** -0.5
                seen = new.columns(x, w.places, w.width)
                seen = by * (seen - seen.mean(0))
                target = by * (w.mixed - w.mixed.mean(0))
                if turn:
                    given = seen @ solved.T
                    normed = w.normed + (given - target) * w.slope / by
                    target = torch.where(_off(w.normed, normed), given, target)
                    sums.add(seen, target - target.mean(0), gram=False)
                else:
                    sums.add(seen, target)
            solved = sums.solve(weight.flatten(1))
        new.set_weight(solved.view_as(weight))
        if new.conv.bias is not None:
            nn.init.zeros_(new.conv.bias)

    @staticmethod
    def _fit_norm(new: Layer, mixed: Pictures, wanted: Sequence[_Wanted]) -> None:
        assert new.norm is not None
        norm, seen = new.norm, []
        for z, w in zip(mixed, wanted, strict=True):
            flat = z[0].flatten(1)
            mean, deviation = flat.mean(1), (flat.var(1, correction=0) + norm.eps).sqrt()
            seen.append((flat[:, w.places].T - mean) / deviation)
        for turn in range(TURNS if new.has_relu else 1):
            line = Line(norm.num_features)
            for x, w in zip(seen, wanted, strict=True):
                y = w.normed
                if turn:
                    given = x * norm.weight + norm.bias
                    y = torch.where(_off(y, given), given, y)
                line.add(x, y)
            scale, shift = line.solve()
            norm.weight.data.copy_(scale)
            norm.bias.data.copy_(shift)

    @staticmethod
    def _solve_bare(
        old: Layer,
        new: Layer,
        weight: Tensor,
        after: Tensor,
        inputs: Pictures,
        wanted: Sequence[_Wanted],
    ) -> None:
        """Without a norm behind it: its bias counts, and a place as much as its pixel changes."""
        bias = torch.zeros(len(weight)) if old.conv.bias is None else old.conv.bias.detach()[after]
        before = torch.cat([weight.flatten(1), bias[:, None]], 1)
        sums, solved = LeastSquares(before.shape[1], len(weight)), before
        for turn in range(TURNS if new.has_relu else 1):
            sums.cross.zero_()
            for x, w in zip(inputs, wanted, strict=True):
                seen = new.columns(x, w.places, w.width)
                seen = torch.cat([seen, seen.new_ones(len(seen), 1)], 1)
                target, by = w.mixed, _slope(old, w.mixed).mean(1, keepdim=True)
                if turn:
                    given = seen @ solved.T
                    target = torch.where(_off(target, given), given, target)
                sums.add(by * seen, by * target, gram=not turn)
            solved = sums.solve(before)
        new.set_weight(solved[:, :-1].reshape(weight.shape))
        assert new.conv.bias is not None
        new.conv.bias.data.copy_(solved[:, -1])


def _off(wanted: Tensor, given: Tensor) -> Tensor:
    """Where a ReLU makes zero of both, so that it does not matter how far below they are."""
    return (wanted <= 0) & (given <= 0)


def _slope(layer: Layer, mixed: Tensor) -> Tensor:
    """Of what comes after a convolution, tanh or a sigmoid; 1 where nothing does."""
    for module in layer.after:
        if isinstance(module, nn.Tanh):
            return 1 - mixed.tanh().square()
        if isinstance(module, nn.Sigmoid):
            return 4 * mixed.sigmoid() * (1 - mixed.sigmoid())
    return torch.ones_like(mixed)
