"""train_opt.txt: the options of a run of pytorch-CycleGAN-and-pix2pix and its descendants."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_OPTION_FILE_NAMES = ("train_opt.txt", "test_opt.txt", "opt.txt")
_OPTION_LINE_RE = re.compile(r"\s*(\w+)\s*:\s*(.*?)\s*(?:\[default:.*)?$")


@dataclass(frozen=True)
class TrainOptions:
    """What was said; None or "" for what was not."""

    path: Path | None = None
    values: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load_next_to(cls, checkpoint: Path) -> TrainOptions:
        """The options in the checkpoint's folder; none where there is no such file."""
        for name in _OPTION_FILE_NAMES:
            path = checkpoint.with_name(name)
            try:
                text = path.read_text(errors="replace")
            except OSError:
                continue
            found = [_OPTION_LINE_RE.match(line) for line in text.splitlines()[:1000]]
            return cls(path, {match[1]: match[2] for match in found if match})
        return cls()

    def get(self, name: str) -> str | None:
        return self.values.get(name) or None

    @property
    def norm(self) -> str | None:
        return self.get("norm") or self.get("normG")

    def positive_int(self, name: str) -> int | None:
        """A whole number above zero."""
        text = self.get(name) or ""
        return int(text) if re.fullmatch(r"[1-9]\d{0,4}", text) else None
