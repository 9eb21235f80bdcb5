"""The time of a verdict as a multiple of the float64 reference's own time, on the same networks.

The box check is timed by itself, and for a block of cases, as a run has them judged: of one shape, with other numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from gradagree.adapters.for_torch import ForTorch
from gradagree.cases.case import Case, problem_of
from gradagree.checker.judge import Framework
from gradagree.checker.response import handshake
from gradagree.checker.reverse import check, check_all
from gradagree.checker.statistical import compare_statistically
from gradagree.reference import backpropagate

CASES = (
    "20-20-20-10:id,tanh,relu:mse:n32:f32:ordinary:s1",
    "100-64-64-10:id,tanh,gelu:cross_entropy:n32:f32:ordinary:s1",
    "300-300-100:id,tanh:mse:n64:f32:ordinary:s1",
    "1000-1000-1000:id,tanh:mse:n128:f32:ordinary:s1",
    "1000-1000-1000-1000:id,relu*2:mse:n8:f32:ordinary:s1",
)
REPEATS = 5
BLOCK, SMALL = 32, 100_000
"""Cases that are judged together, of networks with so many weights at most."""


def best(work: Callable[[], object]) -> float:
    """The shortest of several times, in seconds."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    adapter = ForTorch()
    with adapter.settings():
        rules = Framework.of("torch", handshake(adapter)).model("float32", "backward")
        print(f"{'weights':>9}  {'reference':>10}  {'box check':>9}  {'in blocks':>9}  {'variance':>9}")
        for spec in CASES:
            case = Case.parse(spec)
            cases = [replace(case, seed=seed) for seed in range(BLOCK if case.size <= SMALL else 1)]
            given = [(one, one.arrays()) for one in cases]
            answers = [adapter.answers(problem_of(*each), "backward") for each in given]
            block = [(*each, tapped, rules) for each, (tapped, _) in zip(given, answers, strict=True)]
            network, first = case.network(given[0][1]), block[0]
            reference = best(lambda: backpropagate(network, first[1].inputs))  # noqa: B023
            box = best(lambda: list(check(*first)))  # noqa: B023
            together = best(lambda: [list(found) for found in check_all(block)]) / len(block)  # noqa: B023
            variance = best(lambda: compare_statistically(*first[:2], answers[0][1], rules))  # noqa: B023
            ratios = "  ".join(f"{x / reference:8.1f}x" for x in (box, together, variance))
            print(f"{case.size:9,}  {1e3 * reference:7.2f} ms  {ratios}")


if __name__ == "__main__":
    main()
