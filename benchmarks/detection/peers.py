"""The tools, gradagree among them: each is asked one question, whether the gradient of a guilty network is right."""

from __future__ import annotations

import json
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.detection.faults import Fault
from benchmarks.detection.networks import Network, error_of, planted
from benchmarks.detection.planting import InAutograd, InJax, InJaxForward, InTorch, Planting, _Adapted
from gradagree.cases.case import problem_of
from gradagree.checker.judge import Framework, judge
from gradagree.checker.response import handshake, respond
from gradagree.checker.verdict import Record, Verdict
from gradagree.runner.known import mark_known
from gradagree.runner.known_upstream import upstream_faults

TUNED = Path(__file__).with_name("tuned.json")
LENGTHY = "_run_slow_mode_and_get_error"
"""What makes the message of a fast gradcheck that has already failed."""


@dataclass(frozen=True)
class Finding:
    """Whether a tool accuses the gradient, what it says, and the box that it names."""

    accused: bool
    said: str
    record: Record | None = None


class Tool(ABC):
    """One way to ask, with its settings: its defaults, tuned ones, or the only ones that it has."""

    settings = "default"

    def __init__(self, name: str, framework: Planting) -> None:
        self.name, self.framework = name, framework

    @abstractmethod
    def judge(self, network: Network, fault: Fault) -> Finding:
        """What the tool says of a network with a fault in it."""

    def passes(self, network: Network) -> int | None:  # noqa: ARG002
        """How often it computes E, where that depends on the network."""
        return None

    def can_express(self, fault: Fault) -> bool:  # noqa: ARG002
        """Whether the framework's mode can be wrong in that way at all."""
        return True


class Gradagree(Tool):
    """A case's record, made in this process."""

    settings = "computed"

    def __init__(self, framework: _Adapted) -> None:
        super().__init__(f"gradagree, {framework.name}", framework)
        self.mode = next(iter(framework.adapter.modes))
        with framework.adapter.settings():
            self.measured = Framework.of(framework.name, handshake(framework.adapter))

    def judge(self, network: Network, fault: Fault) -> Finding:
        liar = planted(self.framework, network, fault)
        with liar.settings():
            reply = respond(liar, problem_of(network.case, network.arrays), self.mode)
        record = judge(network.case, network.arrays, self.measured, reply)
        if record.verdict is Verdict.CRASHED:
            raise RuntimeError(f"{network.case.spec}: {record.reason}")
        record = mark_known(record, upstream_faults(), network.case)
        return Finding(record.verdict.fails and not record.known, str(record.verdict), record)


class Peer(Tool):
    """A peer that raises where it does not agree; options holds eps, atol and rtol where they are not its own."""

    def __init__(self, name: str, framework: Planting, options: dict[str, float] | None = None) -> None:
        super().__init__(name, framework)
        self.options = options or {}
        self.settings = "tuned" if options else "default"

    @abstractmethod
    def ask(self, error: Callable[..., Any], leaves: list[Any]) -> None:
        """Raises where the gradient of error(*leaves) is not what the peer expects."""

    def judge(self, network: Network, fault: Fault) -> Finding:
        error = error_of(self.framework, network, fault)
        leaves, targets = self.framework.numbers(problem_of(network.case, network.arrays))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.ask(lambda *given: error(list(given), targets, lambda c: c), leaves)
        except Exception as wrong:  # noqa: BLE001  (each peer has an exception of its own)
            return Finding(True, type(wrong).__name__)
        return Finding(False, "passed")


class Gradcheck(Peer):
    """``torch.autograd.gradcheck``, without its message, which in fast mode would cost another, slow one."""

    def __init__(self, fast: bool, options: dict[str, float] | None = None) -> None:
        super().__init__(f"gradcheck, {'fast' if fast else 'slow'}", InTorch(), options)
        self.fast = fast

    def ask(self, error: Callable[..., Any], leaves: list[Any]) -> None:
        from torch.autograd import gradcheck

        with mock.patch.object(sys.modules[gradcheck.__module__], LENGTHY, return_value="", create=True):
            gradcheck(error, tuple(leaves), fast_mode=self.fast, **self.options)

    def passes(self, network: Network) -> int | None:
        return None if self.fast else 2 * network.coordinates


class CheckGrads(Peer):
    """``jax.test_util.check_grads`` of order 1."""

    def __init__(self, mode: str, options: dict[str, float] | None = None) -> None:
        super().__init__(f"check_grads, {mode}", InJax() if mode == "rev" else InJaxForward(), options)
        self.mode = mode

    def ask(self, error: Callable[..., Any], leaves: list[Any]) -> None:
        from jax.test_util import check_grads

        check_grads(error, tuple(leaves), order=1, modes=(self.mode,), **self.options)

    def judge(self, network: Network, fault: Fault) -> Finding:
        with self.framework.adapter.settings():
            return super().judge(network, fault)

    def can_express(self, fault: Fault) -> bool:
        return fault.linear or self.mode == "rev"


class AutogradCheckGrads(Peer):
    """``autograd.test_util.check_grads`` of order 1 in reverse mode; its tolerance is fixed."""

    def __init__(self) -> None:
        super().__init__("HIPS check_grads, rev", InAutograd())
        self.settings = "fixed"

    def ask(self, error: Callable[..., Any], leaves: list[Any]) -> None:
        from autograd.test_util import check_grads

        before = np.random.get_state()
        np.random.seed(0)
        try:
            check_grads(lambda given: error(*given), modes=["rev"], order=1)(tuple(leaves))
        finally:
            np.random.set_state(before)


TUNABLE: dict[str, Callable[..., Peer]] = {
    "gradcheck, slow": lambda options=None: Gradcheck(False, options),
    "gradcheck, fast": lambda options=None: Gradcheck(True, options),
    "check_grads, rev": lambda options=None: CheckGrads("rev", options),
    "check_grads, fwd": lambda options=None: CheckGrads("fwd", options),
}
OWN: dict[str, Callable[[], Tool]] = {
    "gradagree, torch": lambda: Gradagree(InTorch()),
    "gradagree, jax": lambda: Gradagree(InJax()),
    "HIPS check_grads, rev": AutogradCheckGrads,
}
TOOLS = (
    ("gradagree, torch", "computed"), ("gradagree, jax", "computed"),
    *((name, how) for name in TUNABLE for how in ("default", "tuned")), ("HIPS check_grads, rev", "fixed"),
)  # fmt: skip
"""Every tool with its settings, in the order of the tables."""


def tuned() -> dict[str, dict[str, dict[str, float] | None]]:
    """eps, atol and rtol by tool and dtype; None where no setting passes the correct networks."""
    return json.loads(TUNED.read_text(encoding="utf-8"))["settings"]


def tool(name: str, how: str, dtype: str) -> Tool | None:
    """The tool with its settings for a dtype; None where no setting is any use."""
    if how != "tuned":
        return (OWN.get(name) or TUNABLE[name])()
    options = tuned()[name][dtype]
    return None if options is None else TUNABLE[name](options)
