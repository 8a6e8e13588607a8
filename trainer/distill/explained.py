"""How much of what the teacher changes the student changes, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from cgt.runtime.preprocess import F32, U8, unpack

from ..evaluation.likeness import psnr, ssim
from .distillation import Distillation

Shown = tuple[F32, F32]  # 3,H,W in [-1, 1]: a photo and the teacher's answer


def explained_change(pictures: Iterable[tuple[U8, U8, U8]]) -> dict[str, float]:
    """Of triples (input, teacher's, student's) of uint8 HWC pictures of one size:

    explained   1 - MSE(student, teacher) / MSE(input, teacher), each a mean over all pictures: 1 is
                the teacher itself, 0 what doing nothing is worth
    psnr, ssim  of the student against the teacher, means over pictures; psnr_left, ssim_left of the
                input left as it is
    """
    rows = [
        (
            _mse(student, teacher),
            _mse(image, teacher),
            psnr(student, teacher),
            ssim(student, teacher),
            psnr(image, teacher),
            ssim(image, teacher),
        )
        for image, teacher, student in pictures
    ]
    error, change, *alike = np.mean(rows, 0).tolist()
    names = ("psnr", "ssim", "psnr_left", "ssim_left")
    return {"explained": 1 - error / max(change, 1e-9)} | dict(zip(names, alike, strict=True))


def _mse(a: U8, b: U8) -> float:
    return float(np.mean((a.astype(np.float64) - b) ** 2))


class Examiner:
    """Measures a student on held-out photos while it learns."""

    def __init__(self, shown: Sequence[Shown]) -> None:
        self.shown = shown

    def measure(self, model: Distillation) -> dict[str, float]:
        """explained, psnr and ssim of the student as it would be exported."""
        answers = []
        with model.at_rest() as networks:
            for x, y in self.shown:
                made = networks[model.name](torch.from_numpy(x)[None].to(model.device))
                answers.append((pixels(x), pixels(y), pixels(made[0].float().cpu().numpy())))
        measured = explained_change(answers)
        return {name: measured[name] for name in ("explained", "psnr", "ssim")}


def pixels(x: F32) -> U8:
    """float32 3,H,W in [-1, 1], in any order of axes, -> uint8 HWC."""
    return unpack(np.ascontiguousarray(x))
