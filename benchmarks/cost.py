"""The time of a verdict as a multiple of the float64 reference's own time, on the same networks."""

from __future__ import annotations

import time
from collections.abc import Callable

from gradagree.adapters.for_torch import ForTorch
from gradagree.boxcheck import check
from gradagree.cases import Case, problem_of
from gradagree.judge import Framework
from gradagree.probable import probable
from gradagree.reference import backpropagate
from gradagree.worker import greeting

CASES = (
    "20-20-20-10:id,tanh,relu:mse:n32:f32:ordinary:s1",
    "100-64-64-10:id,tanh,gelu:cross_entropy:n32:f32:ordinary:s1",
    "300-300-100:id,tanh:mse:n64:f32:ordinary:s1",
    "1000-1000-1000:id,tanh:mse:n128:f32:ordinary:s1",
    "1000-1000-1000-1000:id,relu*2:mse:n8:f32:ordinary:s1",
)
REPEATS = 5


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
        rules = Framework.of("torch", greeting(adapter)).model("float32", "backward")
        print(f"{'weights':>9}  {'reference':>10}  {'box check':>9}  {'variance':>9}")
        for spec in CASES:
            case = Case.parse(spec)
            arrays, network = case.arrays(), case.network(case.arrays())
            tapped, untapped = adapter.answers(problem_of(case, arrays), "backward")
            reference = best(lambda: backpropagate(network, arrays.inputs))  # noqa: B023
            box = best(lambda: list(check(case, arrays, tapped, rules)))  # noqa: B023
            variance = best(lambda: probable(case, arrays, untapped, rules))  # noqa: B023
            print(f"{case.size:9,}  {1e3 * reference:7.2f} ms  {box / reference:8.1f}x  {variance / reference:8.1f}x")


if __name__ == "__main__":
    main()
