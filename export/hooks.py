"""Looking at what modules take and give while a network runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

Look = Callable[[str, nn.Module, Tensor, Tensor], None]


@contextmanager
def looking(
    network: nn.Module, kinds: type[nn.Module] | tuple[type[nn.Module], ...], look: Look
) -> Iterator[None]:
    """Calls look(name, module, input, output) after each run of a leaf module of those kinds."""

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda module, given, out: look(name, module, given[0], out)

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in network.named_modules()
        if isinstance(module, kinds) and not list(module.children())
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
