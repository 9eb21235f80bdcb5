"""State that a call of PyTorch may change, such as buffers: each call begins with the same, and it is restored."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, cast

import numpy as np
import torch

SEED = 20240607
bit_generator: Callable[[], Any] = vars(np.random)["get_bit_generator"]  # NumPy's type stubs lack it
MT19937_BYTES = 4 * 624 + 4
"""Size of the state in memory: the key and the position."""


class NumpyState:
    """The state of NumPy's global generator, whose memory tells whether it has changed: reading it takes long."""

    known: ClassVar[NumpyState | None] = None

    def __init__(self) -> None:
        self.state = cast("Sequence[Any]", np.random.get_state())
        self.generator, self.memory = bit_generator(), b""
        waiting = self.state[3]  # a second normal number was drawn already; taking it leaves the memory as it is
        if isinstance(self.generator, np.random.MT19937) and not waiting:
            self.address = self.generator.ctypes.state_address
            self.memory = self.contents()

    @classmethod
    def current(cls) -> NumpyState:
        """The state; that of the last call if nothing has changed it."""
        if cls.known is None or cls.known.has_changed():
            cls.known = cls()
        return cls.known

    def contents(self) -> bytes:
        return ctypes.string_at(self.address, MT19937_BYTES)

    def has_changed(self) -> bool:
        """True if the state is another one, or cannot be compared."""
        if not self.memory or bit_generator() is not self.generator:
            return True
        return self.contents() != self.memory

    def restore(self) -> None:
        if self.has_changed():
            np.random.set_state(cast(Any, self.state))


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """Random numbers are the same in each call, so that a function that draws some has one gradient."""
    others, numpy_state = random.getstate(), NumpyState.current()
    on_host, on_device = torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    torch.default_generator.manual_seed(SEED)  # torch.manual_seed keeps a stack trace for devices that are not in use
    if on_device:
        torch.cuda.manual_seed_all(SEED)
    try:
        yield
    finally:
        random.setstate(others)
        numpy_state.restore()
        torch.set_rng_state(on_host)
        if on_device:
            torch.cuda.set_rng_state_all(on_device)


def state_of(function: Any, arguments: Sequence[Any]) -> Callable[[], AbstractContextManager[None]]:
    """Makes a context that restores the attributes and buffers of modules, and generators of random numbers."""
    modules = reachable_modules([function, *arguments])
    generators = [one for one in arguments if isinstance(one, torch.Generator)]
    return functools.partial(same_state, modules, generators)


@contextlib.contextmanager
def same_state(modules: Sequence[torch.nn.Module], generators: Sequence[torch.Generator]) -> Iterator[None]:
    """In the context, modules have copies of their buffers; after it, their own buffers and attributes again."""
    kept = [(module, dict(module.__dict__), dict(module._buffers)) for module in modules]
    states = [one.get_state() for one in generators]
    copies: dict[int, torch.Tensor] = {}
    try:
        for module, _, buffers in kept:
            for name, x in buffers.items():
                if x is not None:
                    module._buffers[name] = copies.setdefault(id(x), fresh(x))
        yield
    finally:
        for module, attributes, buffers in kept:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            module._buffers.clear()
            module._buffers.update(buffers)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def fresh(x: torch.Tensor) -> torch.Tensor:
    """A copy; made so that a tracer of PyTorch admits writes into it."""
    if type(x) is not torch.Tensor or x.layout is not torch.strided or not x.is_contiguous():
        return x.detach().clone()
    everywhere = torch.ones(x.shape, dtype=torch.bool, device=x.device)
    return torch.where(everywhere, x.detach(), torch.zeros(x.shape, dtype=x.dtype, device=x.device))


def reachable_modules(things: Iterable[Any]) -> list[torch.nn.Module]:
    """The modules among the things, and those that functions among them refer to; with all their submodules."""
    found: dict[int, torch.nn.Module] = {}
    seen: set[int] = set()
    waiting = list(things)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, torch.nn.Module):
            found.update((id(module), module) for module in thing.modules())
        else:
            waiting += referents(thing)
    return list(found.values())


def referents(thing: Any) -> list[Any]:
    """What a function refers to: its object, its arguments, variables around it, and modules among its globals."""
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    owner = getattr(thing, "__self__", None)
    found = [owner] if isinstance(owner, torch.nn.Module) else []
    function = getattr(thing, "__func__", thing)
    code = getattr(function, "__code__", None)
    if code is None:
        return found
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a variable without a value
            found.append(cell.cell_contents)
    known = (function.__globals__.get(name) for name in code.co_names)
    return [*found, *(one for one in known if isinstance(one, torch.nn.Module))]
