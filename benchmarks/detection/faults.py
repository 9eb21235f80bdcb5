"""The faults: each is one object, written once for all frameworks, and planted in one box of a network.

A fault replaces one part of what a box pulls back (delta_p, dw or db) and leaves the box's value and the rest alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.detection.planting import Planting

PARTS = ("delta_p", "dw", "db")
SMALLEST_STRUCTURAL = 1024
"""Weights of the guilty box where one entry of a thousand is wrong."""


@dataclass(frozen=True)
class Site:
    """Where a fault is planted: the box, the entry of its dw, and the dw of the step before."""

    box: int | str
    entry: tuple[int, int] = (0, 0)
    before: np.ndarray | None = None

    def mask(self, shape: tuple[int, ...]) -> np.ndarray:
        """1 at the entry, 0 elsewhere."""
        made = np.zeros(shape)
        made[self.entry] = 1
        return made


@dataclass(frozen=True)
class Moment:
    """What a box holds when it pulls: its own p, w and b, the delta_c that it is given, and its place."""

    framework: Planting
    honest: Callable[..., Any]
    activation: Callable[[Any], Any] | None
    site: Site
    given: tuple[Any, ...]
    delta_c: Any

    @property
    def p(self) -> Any:
        return self.given[0]

    @property
    def w(self) -> Any:
        return self.given[1]

    @property
    def delta_a(self) -> Any:
        return self.delta_c @ self.w.T

    @cached_property
    def value(self) -> Any:
        return self.activation(self.p) if self.activation else None

    def pulled(self, *given: Any) -> tuple[Any, ...]:
        """What the framework itself pulls back, at any p, w and b."""
        return self.framework.pulled(self.honest, given, self.delta_c)

    def array(self, x: np.ndarray) -> Any:
        """A constant in the dtype of p."""
        return self.framework.constant(x, self.p)

    def at_entry(self, x: float) -> Any:
        """x at the guilty entry of dw, 0 elsewhere."""
        return self.array(x * self.site.mask(tuple(self.w.shape)))


@dataclass(frozen=True)
class Fault:
    """What is told in place of one part of a box's answer; linear says that it is linear in delta_c.

    It suits networks of that regime and width; a fault of the error box has that for its place.
    """

    name: str
    part: str
    told: Callable[[Any, Moment], Any]
    width: int | None = None
    regime: str = "ordinary"
    error_box: bool = False
    linear: bool = True

    def plant(
        self, framework: Planting, honest: Callable[..., Any], site: Site, activation: Callable[[Any], Any] | None
    ) -> Callable[..., Any]:
        """The honest function of (p, w, b), or of (o,), with the framework's own pull but for the fault."""

        def pull(delta: Any, *given: Any) -> tuple[Any, ...]:
            now = Moment(framework, honest, activation, site, given, delta)
            return tuple(
                self.told(right, now) if part == self.part else right
                for part, right in zip(PARTS, now.pulled(*given), strict=False)
            )

        return framework.operation(honest, pull)


def one_weight(eps: float) -> Fault:
    """One weight's gradient is off by the factor 1 + eps."""
    return Fault("one weight", "dw", lambda right, now: right + right * now.at_entry(eps))


def one_activation(eps: float) -> Fault:
    """One box's A' is off by the factor 1 + eps."""
    return Fault("one activation", "delta_p", lambda right, now: right + right * eps)


KINDS = {"one weight": one_weight, "one activation": one_activation}

STRUCTURAL = (
    Fault("derivative forgotten", "delta_p", lambda right, now: now.delta_a),
    Fault("p for A(p)", "dw", lambda right, now: now.p.T @ now.delta_c),
    Fault("one example missing", "dw", lambda right, now: now.value[:-1].T @ now.delta_c[:-1]),
    Fault("weights transposed", "delta_p", lambda right, now: now.pulled(now.p, now.w.T, *now.given[2:])[0]),
    Fault("bias over the wrong axis", "db", lambda right, now: now.delta_c.sum(1)),
    Fault("factor 2 lost", "delta_p", lambda right, now: right * 0.5, error_box=True),
    Fault("sign of one of a thousand", "dw", lambda right, now: right - right * now.at_entry(2.0), width=32),
    Fault("one entry zeroed", "dw", lambda right, now: right - right * now.at_entry(1.0)),
    Fault("gradient of the step before", "dw", lambda right, now: now.array(now.site.before), linear=False),
    Fault("detached", "delta_p", lambda right, now: right * 0.0),
    Fault(
        "slope 2 at a kink", "delta_p",
        lambda right, now: right * (now.p != 0) + now.delta_a * 2.0 * (now.p == 0), regime="grid",
    ),
)  # fmt: skip


def control(fault: Fault) -> Fault:
    """The same planting, with nothing wrong in it."""
    return Fault("none", fault.part, lambda right, now: right, fault.width, fault.regime, fault.error_box)
