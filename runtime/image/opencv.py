"""Import of OpenCV without its log messages, or an error that tells what to install."""

from __future__ import annotations

import os

from ..errors import MissingDependency

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
try:
    import cv2 as cv2
except ImportError as error:
    raise MissingDependency(
        f"OpenCV does not load ({error}); install its libraries (apt-get install libgl1 "
        "libglib2.0-0) or, on a machine without a screen, pip install opencv-python-headless"
    ) from None

# cgt reports each failure itself, once.
_LOG_LEVEL_SILENT = 0
if hasattr(cv2, "setLogLevel"):  # OpenCV 4, as in JetPack and with NumPy 1
    cv2.setLogLevel(_LOG_LEVEL_SILENT)
else:
    cv2.utils.logging.setLogLevel(_LOG_LEVEL_SILENT)
