"""Translation of one image: one_image.py IN OUT.png [MODEL.onnx]."""

import sys
from pathlib import Path

from cgt.runtime import Translator
from cgt.runtime.image.files import encode_image, read_image

source, target, *model = sys.argv[1:]
image = read_image(Path(source))  # uint8 HWC RGB, or None
if image is None:
    sys.exit(f"{source} is not an image")
with Translator(*model, size="source") as translator:
    painted = translator(image)
Path(target).write_bytes(encode_image(painted, Path(target).suffix))
