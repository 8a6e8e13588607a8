"""Forward hooks that record the inputs and outputs of modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

ActivationCallback = Callable[[str, nn.Module, Tensor, Tensor], None]


@contextmanager
def record_activations(
    network: nn.Module,
    module_types: type[nn.Module] | tuple[type[nn.Module], ...],
    callback: ActivationCallback,
) -> Iterator[None]:
    """Call callback(name, module, input, output) after each run of a leaf module of these types.

    Modules of other projects may take or return something else than one tensor; those are skipped.
    """

    def make_hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], out: Any) -> None:
            if inputs and isinstance(inputs[0], Tensor) and isinstance(out, Tensor):
                callback(name, module, inputs[0], out)

        return hook

    handles = [
        module.register_forward_hook(make_hook(name))
        for name, module in network.named_modules()
        if isinstance(module, module_types) and not list(module.children())
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
