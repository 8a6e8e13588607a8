"""Translated frames as arrays: count_colors.py VIDEO [MODEL.onnx].

The program prints the mean color of each translated frame.
"""

import sys

from cgt.runtime import translate

video, *rest = sys.argv[1:]
for index, frame in enumerate(translate(video, model=rest[0] if rest else None, size=(128, 128))):
    red, green, blue = frame.reshape(-1, 3).mean(0)
    print(f"{index:5d}  {red:5.1f} {green:5.1f} {blue:5.1f}")
