"""What a run begins with in place of random weights: `cgt train --init-from`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from cgt.runtime.errors import UsageError

from .foreign.importing import SeveralGenerators
from .generator import TrainedGenerator, open_both
from .trainconfig import TrainConfig


@dataclass(frozen=True)
class Beginning:
    """Generators of a checkpoint, "G_A", "G_B" or both, of one architecture."""

    given: dict[str, TrainedGenerator]

    @classmethod
    def of(cls, path: Path) -> Beginning:
        """Raises CheckpointError for a file without generators, UsageError when they are not both
        of one architecture, or do not take RGB images."""
        try:
            given = open_both(path)
        except SeveralGenerators as error:
            found = str(error).partition("; ")[0]
            raise UsageError(
                f"{found}, and their names tell no direction; save them as G_AB.pth and G_BA.pth"
            ) from None
        one, *others = given.values()
        if (one.in_channels, one.out_channels) != (3, 3):
            raise UsageError(
                f"{path} translates {one.in_channels} to {one.out_channels} channels; only RGB "
                "trains"
            )
        if any(other.architecture != one.architecture for other in others):
            raise UsageError(f"the two generators of {path} differ in architecture; they must not")
        return cls(given)

    def configure(self, config: TrainConfig) -> TrainConfig:
        """The run with this architecture."""
        architecture = next(iter(self.given.values())).architecture
        return dataclasses.replace(
            config,
            generator=architecture["kind"],
            ngf=architecture["ngf"],
            described=architecture,
        )

    def fill(self, generators: dict[str, nn.Module]) -> str:
        """Set the weights. Returns a line that says which, and which begin from scratch.
        Raises UsageError when there is none for them."""
        taken = {name: one for name, one in self.given.items() if name in generators}
        if not taken:
            raise UsageError(
                f"the checkpoint has {', '.join(self.given)}, the run learns "
                f"{', '.join(generators)}; give the other --direction"
            )
        for name, one in taken.items():
            generators[name].load_state_dict(one.network.state_dict())
        begun = [f"{name} begins with {one.path.name}" for name, one in taken.items()]
        alone = [] if len(taken) == len(generators) else ["the other from scratch"]
        return ", ".join([*begun, *alone])
