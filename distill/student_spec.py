"""Parser of `cgt distill --student`: width, blocks and kind of a student.

pruned:20x9                    20 wide, 9 blocks, pruned from the teacher
32x6                           32 wide, 6 blocks, trained from scratch
32x6,batch_film,separable      the same with another norm and block
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cgt.runtime.errors import UsageError
from cgt.trainer.networks.config import GeneratorConfig

from .pruning.prune import pruned_config
from .search.candidates import Candidate, StudentVariant

_FIELD_VALUES = {
    "norm": ("instance", "instance_affine", "batch", "batch_film", "none"),
    "block": ("plain", "separable"),
    "upsampling": ("transposed", "resize"),
}
_FIELD_OF_VALUE = {value: field for field, values in _FIELD_VALUES.items() for value in values}
_PRUNED_PREFIX = "pruned:"


@dataclass(frozen=True)
class StudentSpec:
    """The architecture that `--student` asks for.

    Attributes:
        variant: norm, block and upsampling; None for a student pruned from its teacher.
        ngf: width of the first layer, in channels.
        blocks: number of residual blocks.
    """

    variant: StudentVariant | None
    ngf: int
    blocks: int

    def to_candidate(self, teacher: GeneratorConfig | None) -> Candidate:
        """Return the candidate for a teacher, whose architecture is None if it is unknown.

        Raises:
            UsageError: the teacher cannot be pruned to this size.
        """
        if self.variant is not None:
            return Candidate(self.variant, self.ngf, self.blocks)
        if teacher is None:
            raise UsageError(
                "the teacher cannot be pruned: its code is another project's; leave out pruned:"
            )
        pruned_config(teacher, self.ngf, self.blocks)
        return Candidate.from_teacher(teacher, self.ngf, self.blocks)


def parse_student_spec(text: str) -> StudentSpec:
    """Parse [pruned:]NGFxBLOCKS[,NORM][,BLOCK][,UPSAMPLING].

    Raises:
        UsageError: the text is not a student.
    """
    size, *values = text.removeprefix(_PRUNED_PREFIX).split(",")
    is_pruned = text.startswith(_PRUNED_PREFIX)
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
    if match and values == ["pruned"]:
        raise UsageError(f"--student {text} is now spelled --student {_PRUNED_PREFIX}{size}")
    if not match or set(values) - set(_FIELD_OF_VALUE) or (is_pruned and values):
        raise UsageError(
            f"--student {text} is not like pruned:20x9, 32x6 or 32x6,batch_film,separable; give "
            f"width x blocks, then for a student that is not pruned any of "
            f"{', '.join(_FIELD_OF_VALUE)}"
        )
    variant = StudentVariant(**{_FIELD_OF_VALUE[value]: value for value in values})
    return StudentSpec(None if is_pruned else variant, int(match[1]), int(match[2]))
