"""Translation of images and video with an exported generator; never imports torch.

Example:
    from cgt.runtime import Translator, translate, translate_file
    Translator("model.onnx")(image)                       # uint8 HWC RGB in and out
    for frame in translate("clip.mp4", model="model.onnx"): ...
    translate_file("clip.mp4", "out.mp4", model="model.onnx")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import TranslateOptions as TranslateOptions
    from .api import translate as translate
    from .api import translate_file as translate_file
    from .image.preprocess import pack as pack
    from .image.preprocess import resize as resize
    from .image.preprocess import to_yuv as to_yuv
    from .image.preprocess import unpack as unpack
    from .image.upsample import Upsampler as Upsampler
    from .image.upsample import upsample_guided as upsample_guided
    from .image.validation import YUV as YUV
    from .inference.translator import Translator as Translator
    from .pipeline import run_pipeline as run_pipeline
    from .utils.stats import Stats as Stats

_LAZY_EXPORTS = {
    "Stats": "utils.stats",
    "TranslateOptions": "api",
    "Translator": "inference.translator",
    "Upsampler": "image.upsample",
    "YUV": "image.validation",
    "pack": "image.preprocess",
    "resize": "image.preprocess",
    "run_pipeline": "pipeline",
    "to_yuv": "image.preprocess",
    "translate": "api",
    "translate_file": "api",
    "unpack": "image.preprocess",
    "upsample_guided": "image.upsample",
}

__all__ = list(_LAZY_EXPORTS)


def __getattr__(name: str) -> Any:
    # Engines and codecs take a second to load; a program that only resizes should not wait.
    if name not in _LAZY_EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_LAZY_EXPORTS[name]}", __name__), name)
