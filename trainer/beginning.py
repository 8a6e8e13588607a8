"""What a run begins with in place of random weights: `cgt train --init-from`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from cgt.runtime.errors import UsageError

from .foreign.importing import MultipleGeneratorsError
from .generator import TrainedGenerator, open_generators
from .trainconfig import TrainConfig


@dataclass(frozen=True)
class PretrainedInit:
    """Generators of a checkpoint, "G_A", "G_B" or both, of one architecture."""

    pretrained: dict[str, TrainedGenerator]

    @classmethod
    def from_checkpoint(cls, path: Path) -> PretrainedInit:
        """Raises CheckpointError for a file without generators, UsageError when they are not both
        of one architecture, or do not take RGB images."""
        try:
            pretrained = open_generators(path)
        except MultipleGeneratorsError as error:
            found = str(error).partition("; ")[0]
            raise UsageError(
                f"{found}, and their names tell no direction; save them as G_AB.pth and G_BA.pth"
            ) from None
        one, *others = pretrained.values()
        if (one.in_channels, one.out_channels) != (3, 3):
            raise UsageError(
                f"{path} translates {one.in_channels} to {one.out_channels} channels; only RGB "
                "trains"
            )
        if any(other.architecture != one.architecture for other in others):
            raise UsageError(f"the two generators of {path} differ in architecture; they must not")
        return cls(pretrained)

    def apply_architecture(self, config: TrainConfig) -> TrainConfig:
        """The run with this architecture."""
        architecture = next(iter(self.pretrained.values())).architecture
        return dataclasses.replace(
            config,
            generator=architecture["kind"],
            ngf=architecture["ngf"],
            generator_json=architecture,
        )

    def load_weights(self, generators: dict[str, nn.Module]) -> str:
        """Set the weights. Returns a line that says which, and which begin from scratch.
        Raises UsageError when there is none for them."""
        matching = {name: one for name, one in self.pretrained.items() if name in generators}
        if not matching:
            raise UsageError(
                f"the checkpoint has {', '.join(self.pretrained)}, the run learns "
                f"{', '.join(generators)}; give the other --direction"
            )
        for name, one in matching.items():
            generators[name].load_state_dict(one.network.state_dict())
        loaded = [f"{name} begins with {one.path.name}" for name, one in matching.items()]
        remaining = [] if len(matching) == len(generators) else ["the other from scratch"]
        return ", ".join([*loaded, *remaining])
