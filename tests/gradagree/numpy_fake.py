"""Frameworks in plain NumPy, for the tests: the reference computes their gradients, and each mode has one fault."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from gradagree.adapters import Adapter, Answer, Problem
from gradagree.reference import backpropagate, network
from gradagree.reference.graph import nodes

FOREVER = 3600


def right(answer: Answer) -> Answer:
    """The gradient as it is."""
    return answer


def segfault(answer: Answer) -> Answer:
    """The process dies of a segmentation fault."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return answer


def abort(answer: Answer) -> Answer:
    """The process aborts, after a last word on standard error."""
    os.write(2, b"the last word\n")
    os.abort()


def sleep(answer: Answer) -> Answer:
    """No answer."""
    time.sleep(FOREVER)
    return answer


def fork_and_die(answer: Answer) -> Answer:
    """The process dies, while a child of its own, with copies of its pipes, lives on for ten seconds."""
    if os.fork() == 0:
        time.sleep(10)
        os._exit(0)
    os._exit(7)


def garbage(answer: Answer) -> Answer:
    """Something that is no message, on the pipe itself."""
    os.write(_answers_pipe(), b"\xff" * 100)
    return answer


def unframed(answer: Answer) -> Answer:
    """A message of the right length that is no answer."""
    os.write(_answers_pipe(), (3).to_bytes(8, "little") + b"abc")
    return answer


def _answers_pipe() -> int:
    """The pipe of the answers: the one that is neither standard input nor standard error."""
    numbers = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    links = {n: Path(f"/proc/self/fd/{n}") for n in numbers if n > 2 and Path(f"/proc/self/fd/{n}").is_symlink()}
    pipes = [n for n, link in links.items() if str(link.readlink()).startswith("pipe:")]
    return next(n for n in pipes if fcntl.fcntl(n, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY)


def prints(answer: Answer) -> Answer:
    """Megabytes on standard output: from Python, from the file descriptor, and from a child process."""
    sys.stdout.write("noise " * 10**6)
    os.write(1, bytes(10**6))
    subprocess.run([sys.executable, "-c", "print('noise' * 1000)"], check=True)
    return answer


def reads(answer: Answer) -> Answer:
    """A look at standard input, where there is nothing to read."""
    sys.stdin.read()
    return answer


def exits(answer: Answer) -> Answer:
    """sys.exit where no one expects it."""
    sys.exit("leaving")


def raises(answer: Answer) -> Answer:
    """An error of the framework's own, of several lines."""
    raise RuntimeError("\n expected scalar type Float\nbut found Double")


def shapes(answer: Answer) -> Answer:
    """Every gradient transposed."""
    return replace(answer, gradients={name: x.T for name, x in answer.gradients.items()})


def flat(answer: Answer) -> Answer:
    """Current inputs without their axes."""
    return replace(answer, values={name: p.ravel() for name, p in answer.values.items()})


def none(answer: Answer) -> Answer:
    """No gradients at all."""
    return Answer(answer.E)


def infinite(answer: Answer) -> Answer:
    """NaN and infinities where numbers should be."""
    weights = {name: x * np.nan for name, x in answer.gradients.items() if name.startswith("w")}
    return replace(answer, E=float("inf"), gradients={**answer.gradients, **weights})


def wrong(answer: Answer) -> Answer:
    """The outermost box's weights' gradient a little too large."""
    return replace(answer, gradients={**answer.gradients, "w1": answer.gradients["w1"] * (1 + 1e-3)})


def leaves(answer: Answer) -> Answer:
    """The process ends as if all were well."""
    os._exit(0)


def deaf(answer: Answer) -> Answer:
    """No answer, and no ear for a polite request to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return sleep(answer)


def hungry(answer: Answer) -> Answer:
    """Memory without end, and really used."""
    kept = []
    while True:
        kept.append(np.ones(1 << 22))


def killed(answer: Answer) -> Answer:
    """Ended by somebody else, each time that it is asked."""
    os.kill(os.getpid(), signal.SIGKILL)
    return answer


def fated(answer: Answer) -> Answer:
    """What fate has for these very inputs."""
    return FATES.get(fate(answer.values["inputs"]), right)(answer)


def fate(inputs: np.ndarray) -> str:
    """One case in four is lost, each in another way."""
    number = zlib.crc32(np.ascontiguousarray(inputs, dtype="<f8").tobytes()) % (4 * len(FATES))
    return list(FATES)[number] if number < len(FATES) else "right"


FATES: dict[str, Callable[[Answer], Answer]] = {
    one.__name__: one for one in (segfault, abort, exits, leaves, garbage, unframed, prints, hungry, deaf, sleep)
}
FAULTS: tuple[Callable[[Answer], Answer], ...] = (
    right, segfault, abort, sleep, fork_and_die, garbage, unframed, prints, reads, exits, raises, shapes, flat, none,
    infinite, wrong, leaves, deaf, hungry, killed, fated,
)  # fmt: skip


class NumpyFake(Adapter):
    """numpy.ndarray; the gradients are those of the reference."""

    name = "numpy_fake"
    install = "pip install numpy-fake"
    modes: Any = {fault.__name__: fault for fault in FAULTS}

    def __init__(self) -> None:
        self.framework = np

    def array(self, x: np.ndarray, dtype: str) -> Any:
        if x.dtype.kind == "i":
            return x.copy()
        return x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)

    def back(self, x: Any) -> np.ndarray:
        return np.asarray(x).astype(np.float64)

    def apply(self, function: Callable[..., Any], arrays: Sequence[Any], compiled: bool) -> Any:
        with np.errstate(all="ignore"):
            return function(*arrays)

    def answers(self, problem: Problem, mode: str) -> tuple[Answer, Answer]:
        answer = self.modes[mode](self._by_hand(problem))
        return answer, replace(answer, cotangents={"inputs": answer.cotangents["inputs"]})

    def _by_hand(self, problem: Problem) -> Answer:
        """What the reference gives on arrays of the problem's dtype."""

        def made(x: Any) -> Any:
            return None if x is None else self.array(x, problem.dtype)

        weights, biases = ([made(x) for x in xs] for xs in (problem.weights, problem.biases))
        t, weight = made(problem.targets), problem.loss_weight
        box: Any = network(problem.activations, weights, biases, problem.error, t, weight)
        found, values = backpropagate(box, made(problem.inputs)), {"inputs": made(problem.inputs)}
        gradients: dict[str, Any] = {}
        for node, gradient, own in zip(nodes(box), found.gradients, found.activations, strict=False):
            operation: Any = node.operation
            values[node.output] = operation.weigh(values[node.input])
            parts = gradient._asdict() | own
            gradients |= {name: self.back(parts[part]) for part, name in node.parameters.items()}
        cotangents = dict(zip(values, map(self.back, found.sensitivities), strict=True))
        return Answer(float(found.E), {name: self.back(p) for name, p in values.items()}, cotangents, gradients)


class NotHere(NumpyFake):
    """A framework that is not installed."""

    name = "not_here"
    install = "pip install not-here"

    def __init__(self) -> None:
        raise ModuleNotFoundError("No module named 'not_here'")


class Stillborn(NumpyFake):
    """A framework whose process dies at the start."""

    name = "stillborn"

    def __init__(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class Slow(NumpyFake):
    """A framework whose import never ends."""

    name = "slow"

    def __init__(self) -> None:
        time.sleep(FOREVER)
