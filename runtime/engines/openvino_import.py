"""Import of OpenVINO without its model converter, which takes longer to load than the rest."""

from __future__ import annotations

import sys
from typing import Any

_CONVERTER = "openvino.tools.ovc"


def _load_converter(name: str) -> Any:
    """Load what `import openvino` left out, for other code in this process that needs it."""
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute {name!r}")
    from openvino.tools.ovc import convert_model

    return convert_model


if "openvino" in sys.modules or _CONVERTER in sys.modules:
    import openvino as ov
else:
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # OpenVINO allows that it is missing
    try:
        import openvino as ov
    finally:
        del sys.modules[_CONVERTER]
    if not hasattr(ov, "convert_model"):
        ov.__getattr__ = _load_converter

__all__ = ["ov"]
