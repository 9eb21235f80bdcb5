"""One verdict on the 10-4-6-8-4 network with its 144 weights: gradagree, gradcheck and check_grads side by side.

Each answers the same question, whether the framework's gradient at the same numbers in float64 is right, for inputs and
weights. gradagree's time includes the framework's pass with taps and without, the reference, and every tolerance.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from gradagree.adapters import Adapter
from gradagree.adapters.for_jax import ForJax
from gradagree.adapters.for_torch import ForTorch
from gradagree.adapters.programs import Architecture
from gradagree.cases import Case, problem_of
from gradagree.judge import Framework, judge
from gradagree.worker import answer, greeting

CASE = Case.parse("10-4-6-8-4:id,tanh*3:sse:n8:f64:ordinary:s93")
ROUNDS = 15


def verdict(adapter: Adapter, mode: str) -> Callable[[], None]:
    """gradagree, in this process."""
    arrays = CASE.arrays()
    problem = problem_of(CASE, arrays)
    framework = Framework.of(adapter.name, greeting(adapter))

    def run() -> None:
        record = judge(CASE, arrays, framework, answer(adapter, problem, mode))
        if record.verdict != "agree":
            raise AssertionError(record)

    return run


def prepared(adapter: Any) -> tuple[Callable[..., Any], list[Any], Any]:
    """The error as a function of (leaves, targets, tap), the leaves and the targets."""
    problem = problem_of(CASE, CASE.arrays())
    leaves, targets, _ = adapter.operands(problem)
    return adapter.error_of(Architecture.of(problem)), leaves, targets


def gradcheck(fast: bool) -> Callable[[], None]:
    import torch

    adapter = ForTorch()
    error, leaves, targets = prepared(adapter)

    def run() -> None:
        if not torch.autograd.gradcheck(
            lambda *given: error(list(given), targets, lambda c: c), tuple(leaves), fast_mode=fast
        ):
            raise AssertionError("gradcheck")

    return run


def check_grads(adapter: ForJax) -> Callable[[], None]:
    from jax.test_util import check_grads as peer

    error, leaves, targets = prepared(adapter)
    return lambda: peer(lambda *given: error(list(given), targets, lambda c: c), tuple(leaves), order=1, modes=("rev",))


def main() -> None:
    jax = ForJax()
    with jax.settings():
        contests = {
            "gradagree, torch backward": verdict(ForTorch(), "backward"),
            "torch gradcheck, slow": gradcheck(False),
            "torch gradcheck, fast": gradcheck(True),
            "gradagree, jax grad": verdict(jax, "grad"),
            "jax check_grads, rev": check_grads(jax),
        }
        times: dict[str, list[float]] = {name: [] for name in contests}
        for contest in contests.values():
            contest()
        for _ in range(ROUNDS):
            for name, contest in contests.items():
                begun = time.perf_counter()
                contest()
                times[name].append(time.perf_counter() - begun)
    print(f"{CASE}, median (least, most) of {ROUNDS} rounds after one to warm up")
    base: float = 0.0
    for name, taken in times.items():
        median = statistics.median(taken)
        base = median if name.startswith("gradagree") else base
        spread = f"({min(taken) * 1e3:.2f}, {max(taken) * 1e3:.2f})"
        print(f"{name:28} {median * 1e3:9.2f} ms {spread:>20}   {median / base:8.1f} x")


if __name__ == "__main__":
    main()
