"""Old path of `cgt.runtime.image.preprocess`.

The model.py of Triton repositories exported before version 0.1.0 imports `U8` from here.
"""

from .image.preprocess import U8 as U8
