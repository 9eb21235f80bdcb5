"""(b) One verdict on one network, by gradagree and by its peers, in one process; (c) by size, up to 6e7 weights.

Each answers the same question: whether the framework's gradient at the same numbers is right, for inputs and weights.
gradagree's time includes the framework's pass with taps and the one without, the reference, and every tolerance.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.speed.timing import shared, turns
from gradagree.adapters import Adapter
from gradagree.adapters.for_jax import ForJax
from gradagree.adapters.for_torch import ForTorch
from gradagree.adapters.programs import Architecture
from gradagree.cases.case import Case, problem_of
from gradagree.checker.judge import Framework, JudgeRequest, judge_all
from gradagree.checker.response import handshake, respond
from gradagree.checker.reverse import check
from gradagree.checker.statistical import compare_statistically

PEERS = {
    144: "10-4-6-8-4:id,tanh*3:sse:n8:f64:ordinary:s93",
    1_000: "10-20-25-12:id,tanh*2:sse:n8:f64:ordinary:s93",
    10_000: "50-80-60-20:id,tanh*2:sse:n8:f64:ordinary:s93",
    100_000: "200-250-180-28:id,tanh*2:sse:n8:f64:ordinary:s93",
}
"""Networks of about so many weights."""
SIZES = (
    "10-4-6-8-4:id,tanh*3:sse:n8:f32:ordinary:s93",
    "10-20-25-12:id,tanh*2:sse:n8:f32:ordinary:s93",
    "50-80-60-20:id,tanh*2:sse:n8:f32:ordinary:s93",
    "200-250-180-28:id,tanh*2:sse:n8:f32:ordinary:s93",
    "1000-600-500-200:id,relu*2:cross_entropy:n8:f32:ordinary:s93",
    "3000-2000-1600-500:id,relu*2:cross_entropy:n8:f32:ordinary:s93",
    "9216-4096b-4096b-1000b:id,relu*2:cross_entropy:n8:f32:ordinary:s93",
)
"""From 144 weights to 58.6 million: the dense layers of the network that made deep networks famous."""
BLOCK = 32
TOGETHER = f"gradagree, each of {BLOCK} networks"
SLOW = 3_000
"""Weights beyond which a peer that asks each of them alone is asked once only."""


def contest(weights: int, rounds: int) -> dict[str, Any]:
    """The times of gradagree and its peers on one network."""
    case = Case.parse(PEERS[weights])
    torch, jax = ForTorch(), ForJax()
    with torch.settings(), jax.settings():
        quick = {
            "gradagree, torch backward": verdict(torch, case, "backward"),
            TOGETHER: verdict(torch, case, "backward", BLOCK),
            "torch's own pass": own_pass(torch, case, "backward"),
            "torch gradcheck, fast": gradcheck(torch, case, fast=True),
            "gradagree, jax jit": verdict(jax, case, "jit"),
            "jax check_grads, rev": check_grads(jax, case),
            "HIPS check_grads": hips(case),
        }
        slow = {"torch gradcheck, slow": gradcheck(torch, case, fast=False), "central differences": central(case)}
        patient = weights > SLOW
        times = turns({**quick, **({} if patient else slow)}, rounds)
        times |= turns(slow, 1, warm=False) if patient else {}
        times[TOGETHER] = shared(times[TOGETHER], BLOCK)
    return {"weights": case.size, "case": case.spec, "times": times}


def verdict(adapter: Adapter, case: Case, mode: str, networks: int = 1) -> Callable[[], None]:
    """gradagree, in this process; of several networks of one shape, as a run has them judged."""
    framework = Framework.of(adapter.name, handshake(adapter))
    given = [(one, one.arrays()) for one in (case, *(replace(case, seed=seed) for seed in range(networks - 1)))]
    problems = [problem_of(*each) for each in given]

    def run() -> None:
        answers = [respond(adapter, problem, mode) for problem in problems]
        records = judge_all([JudgeRequest(*each, framework, found) for each, found in zip(given, answers, strict=True)])
        wrong = [record for record in records if record.verdict != "agree"]
        if wrong:
            raise AssertionError(wrong)

    return run


def own_pass(adapter: Adapter, case: Case, mode: str) -> Callable[[], object]:
    problem = problem_of(case, case.arrays())
    leaves, targets, _ = adapter.operands(problem)
    program = adapter.programs(mode, Architecture.of(problem), False)

    def run() -> object:
        found = program(leaves, targets, [])
        return [adapter.back(x) for x in found[1][:1]]

    return run


def prepared(adapter: Adapter, case: Case) -> tuple[Callable[..., Any], list[Any], Any]:
    """The error as a function of (leaves, targets, tap), the leaves and the targets."""
    problem = problem_of(case, case.arrays())
    leaves, targets, _ = adapter.operands(problem)
    return adapter.error_of(Architecture.of(problem)), leaves, targets


def gradcheck(adapter: ForTorch, case: Case, fast: bool) -> Callable[[], None]:
    error, leaves, targets = prepared(adapter, case)

    def run() -> None:
        check = adapter.framework.autograd.gradcheck
        if not check(lambda *given: error(list(given), targets, lambda c: c), tuple(leaves), fast_mode=fast):
            raise AssertionError("gradcheck")

    return run


def check_grads(adapter: ForJax, case: Case) -> Callable[[], None]:
    from jax.test_util import check_grads as peer

    error, leaves, targets = prepared(adapter, case)
    return lambda: peer(lambda *given: error(list(given), targets, lambda c: c), tuple(leaves), order=1, modes=("rev",))


def hips(case: Case) -> Callable[[], None]:
    """The check_grads of HIPS autograd, on the network written in its NumPy."""
    import autograd.numpy as anp
    from autograd.test_util import check_grads as peer

    arrays = case.arrays()

    def error(weights: Any) -> Any:
        p = arrays.inputs
        for k, w in enumerate(weights):
            p = (p if k == 0 else anp.tanh(p)) @ w
        return anp.sum((p - arrays.targets) ** 2)

    return lambda: peer(error, modes=["rev"], order=1)(list(arrays.weights))


def central(case: Case) -> Callable[[], None]:
    """Two passes of the reference for each weight."""
    arrays = case.arrays()
    network, step = case.network(arrays), 2.0**-20

    def run() -> None:
        for w in arrays.weights:
            moved = w.reshape(-1)
            for i in range(moved.size):
                kept = moved[i]
                for side in (step, -step):
                    moved[i] = kept + side
                    network(arrays.inputs)
                moved[i] = kept

    for w in arrays.weights:
        w.flags.writeable = True
    return run


def by_size(rounds: int, largest: int) -> list[dict[str, Any]]:
    """Each framework's own time, and that of the box check and of variance, network by network."""
    found = []
    for spec in SIZES:
        case = Case.parse(spec)
        if case.size <= largest:
            found.append(one_size(case, rounds))
            gc.collect()
    return found


def one_size(case: Case, rounds: int) -> dict[str, Any]:
    torch, jax = ForTorch(), ForJax()
    with torch.settings(), jax.settings():
        arrays = case.arrays()
        tapped, untapped = torch.answers(problem_of(case, arrays), "backward")
        rules = Framework.of("torch", handshake(torch)).model(case.dtype, "backward")
        contests = {
            "torch": own_pass(torch, case, "backward"),
            "jax": own_pass(jax, case, "jit"),
            "box check": lambda: list(check(case, arrays, tapped, rules)),
            "variance": lambda: compare_statistically(case, arrays, untapped, rules),
        }
        times = turns(contests, rounds)
    return {
        "weights": case.size,
        "case": case.spec,
        "entries": int(np.sum([w.size for w in arrays.weights])),
        "times": times,
    }
