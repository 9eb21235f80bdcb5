"""The networks that faults are planted in, and the guilty network as each framework computes it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from benchmarks.detection.faults import Fault, Site, control
from benchmarks.detection.planting import InTorch, Planting, _Adapted
from gradagree.adapters import Answer
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Arrays, Case, problem_of
from gradagree.cases.regimes import Source
from gradagree.checker.comparison import observed_array
from gradagree.reference.graph import quantity_of

DEPTHS = (1, 2, 5, 10, 20)
SIZES = (10, 100, 1_000, 10_000, 100_000)
FUNCTIONS = ("tanh", "gelu", "softplus")
"""Smooth ones, as finite differences want them; relu only where a fault is at its kink."""
WIDTH = BATCH = 8
RATE = 2.0**-10
"""Of the step that lies between the gradient of the step before and the right one."""
ROOM_FOR_SEEDS = 10**9
TRIES = 100


@dataclass(frozen=True)
class Place:
    """One row of a table: networks of so many boxes, or of so many weights (in two boxes)."""

    family: str
    value: int

    def __str__(self) -> str:
        return f"{self.family} {self.value:,}"

    def widths(self, box: int | str, width: int | None) -> list[int]:
        """All boxes square; the guilty one of a width of its own, if any."""
        if self.family == "size":
            return [round((self.value / 2) ** 0.5)] * 3
        made = [WIDTH] * (self.value + 1)
        if width is not None and box != "error":
            made[int(box) - 1 : int(box) + 1] = [width, width]
        return made


@dataclass(frozen=True)
class Network:
    """A case, and where in it a fault may be planted."""

    case: Case
    site: Site

    @cached_property
    def arrays(self) -> Arrays:
        return self.case.arrays()

    @property
    def coordinates(self) -> int:
        """Weights, biases and inputs: what the peers vary."""
        return self.case.size + self.arrays.inputs.size

    @cached_property
    def before(self) -> np.ndarray:
        """The guilty box's dw one step of steepest descent earlier."""
        torch, k = in_torch(), int(self.site.box)
        now = answer(torch, self, None)
        x = self.arrays
        step = [w + RATE * now.gradients[f"w{j}"] for j, w in enumerate(x.weights, 1)]
        earlier = tuple(torch.adapter.back(torch.adapter.array(w, self.case.dtype)) for w in step)
        case = Case.of(self.case, Arrays(earlier, x.biases, x.inputs, x.targets))
        return np.asarray(answer(torch, Network(case, self.site), None).gradients[f"w{k}"])


@lru_cache(maxsize=1)
def in_torch() -> InTorch:
    return InTorch()


def drawn(place: Place, dtype: str, fault: Fault, text: str) -> Network:
    """The first network that a text stands for which the fault changes at all."""
    for again in range(TRIES):
        source = Source(f"detection {place.family} {place.value} {fault.name} {text} {again}")
        boxes = place.value if place.family == "depth" else 2
        kinked = fault.regime == "grid"
        guilty = 2 if kinked else 2 + int(source.integers(max(boxes - 1, 1)))
        box: int | str = "error" if fault.error_box else min(guilty, boxes)
        first, *others = place.widths(box, fault.width)
        widths = "-".join([str(first), *(f"{width}b" for width in others)])
        seed = int(source.integers(ROOM_FOR_SEEDS))
        spec = f"{widths}:{functions(source, boxes, kinked)}:sse:n{BATCH}:{FORMATS[dtype].short}:{fault.regime}:s{seed}"
        case = Case.parse(spec)
        last = case.arrays().weights[-1 if box == "error" else int(box) - 1]
        entry = tuple(int(source.integers(n)) for n in last.shape)
        network = Network(case, Site(box, entry))
        if not fault.linear:
            network = Network(case, Site(box, entry, network.before))
        if change(network, fault)[0] > 0:
            return network
    raise ValueError(f"{fault.name} changes nothing in {TRIES} networks of {place}")


def functions(source: Source, boxes: int, kinked: bool) -> str:
    """Identity on the inputs of a network of several boxes, then one function; relu in box 2 for its kink."""
    chosen = source.choice(FUNCTIONS)
    if boxes == 1:
        return "relu" if kinked else chosen
    inner = ["relu" if kinked else chosen, *[chosen] * (boxes - 2)]
    return ",".join(["id", *inner])


def error_of(
    framework: Planting, network: Network, fault: Fault | None, operands: Sequence[str] = ()
) -> Callable[..., Any]:
    """E as a function of (leaves, targets, tap), with the fault in its place; None is the framework itself.

    The targets pass through the tap too where they are among the operands of the loss that are differentiated.
    """
    case, site = network.case, network.site
    activations = [framework.implementation(activation) for activation in case.activations]
    judge = framework.implementation(case.error)

    def error(leaves: list[Any], targets: Any, tap: Callable[[Any], Any]) -> Any:
        p, n = leaves[0], len(activations)
        for k, activation in enumerate(activations, 1):
            box = weighing(activation)
            if fault is not None and k == site.box:
                box = fault.plant(framework, box, site, activation)
            p = tap(box(p, leaves[k], leaves[n + k]))
        t = tap(targets) if "t" in operands else targets
        given = (p, t) if "t" in operands else (p,)
        last = judge if "t" in operands else lambda o: judge(o, t)
        if fault is not None and site.box == "error":
            last = fault.plant(framework, last, site, None)
        return last(*given) * case.loss_weight

    return error


def weighing(activation: Callable[[Any], Any]) -> Callable[..., Any]:
    """One box, c = A(p) w + b."""
    return lambda p, w, b: activation(p) @ w + b


def planted(framework: _Adapted, network: Network, fault: Fault | None) -> Any:
    """The framework's adapter, with the fault in what it computes."""
    liar = copy.copy(framework.adapter)
    liar.__dict__.pop("programs", None)
    liar.error_of = lambda architecture: error_of(framework, network, fault, architecture.operands)
    return liar


def answer(framework: _Adapted, network: Network, fault: Fault | None) -> Answer:
    """What the framework answers, with taps."""
    liar = planted(framework, network, fault)
    with liar.settings():
        return liar.answers(problem_of(network.case, network.arrays), next(iter(liar.modes)))[0]


def part(given: Answer, site: Site, name: str) -> np.ndarray:
    """One part of the guilty box's answer."""
    if site.box == "error":
        return [*given.cotangents.values()][-1]
    found = observed_array(given, quantity_of(site.box, name, 9))
    assert found is not None
    return found


def change(network: Network, fault: Fault) -> tuple[float, np.ndarray]:
    """What the fault changes, as a share of the part's largest entry, and entry by entry."""
    right, wrong = (part(answer(in_torch(), network, f), network.site, fault.part) for f in (control(fault), fault))
    off = np.abs(wrong - right)
    largest = float(np.max(np.abs(right)))
    return (float(np.max(off)) / largest if largest else 0.0), off
