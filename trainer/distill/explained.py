"""How much of what the teacher changes the student changes, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from cgt.runtime.preprocess import F32, U8, unpack

from ..evaluation.likeness import psnr, ssim
from .distillation import Distillation

EvalPair = tuple[F32, F32]  # 3,H,W in [-1, 1]: a photo and the teacher's answer


def similarity_to_teacher(triplets: Iterable[tuple[U8, U8, U8]]) -> dict[str, float]:
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
        for image, teacher, student in triplets
    ]
    error, change, *similarity = np.mean(rows, 0).tolist()
    names = ("psnr", "ssim", "psnr_left", "ssim_left")
    return {"explained": 1 - error / max(change, 1e-9)} | dict(zip(names, similarity, strict=True))


def _mse(a: U8, b: U8) -> float:
    return float(np.mean((a.astype(np.float64) - b) ** 2))


class StudentEvaluator:
    """Measures a student on held-out photos while it learns."""

    def __init__(self, eval_pairs: Sequence[EvalPair]) -> None:
        self.eval_pairs = eval_pairs

    def evaluate(self, model: Distillation) -> dict[str, float]:
        """explained, psnr and ssim of the student as it would be exported."""
        triplets = []
        with model.eval_generators() as networks:
            for x, y in self.eval_pairs:
                output = networks[model.generator_name](torch.from_numpy(x)[None].to(model.device))
                triplets.append(
                    (to_uint8(x), to_uint8(y), to_uint8(output[0].float().cpu().numpy()))
                )
        measured = similarity_to_teacher(triplets)
        return {name: measured[name] for name in ("explained", "psnr", "ssim")}


def to_uint8(x: F32) -> U8:
    """float32 3,H,W in [-1, 1], in any order of axes, -> uint8 HWC."""
    return unpack(np.ascontiguousarray(x))
