"""The worker process of one framework: ``python -m gradagree.runner.worker FRAMEWORK [EXTENSION]...``.

It reads requests from its original standard input and writes results to its original standard output; what a framework
prints goes to standard error. It exits when its input ends, and soon after its parent exits. FRAMEWORK may also be a
library on top of a framework, which a survey evaluates.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from gradagree.adapters import Adapter, Unsupported, training_steps
from gradagree.adapters.adapter import library_frameworks
from gradagree.adapters.entry_points import evaluate_entry_points
from gradagree.adapters.pointwise import (
    REDUCTION,
    Function,
    divides_by_batch,
    framework_implementation,
    library_implementation,
)
from gradagree.cases.case import Case, problem_of
from gradagree.cases.graph_case import any_problem, arrays_of, parse_case
from gradagree.checker.response import Absent, Failure, Ready, failure, first_line, handshake, respond
from gradagree.checker.verdict import Verdict
from gradagree.reference import Activation, ErrorFunction
from gradagree.runner import protocol
from gradagree.runner.extensions import load, load_installed

GRACE = 5.0
"""Seconds that a worker whose parent has exited has to finish the requests it has read."""
QUANTITIES = ("value", "slope", "second")
KINDS: dict[str, Any] = {"activation": Activation, "error": ErrorFunction}


def main(arguments: Sequence[str]) -> None:
    requests, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    end_with_parent(requests.fileno())
    prefer_for_oom_kill()
    warnings.simplefilter("ignore")
    name, *extensions = arguments
    load_installed()
    load(extensions)
    framework = library_frameworks().get(name, name)
    library = name if name != framework else None
    kind = Adapter.catalogue[framework]
    try:
        adapter = kind()
        functions = SingleFunctions(adapter, library)
    except ImportError as missing:
        protocol.write(results, Absent(f"not installed ({missing}): {kind.install}"))
        return
    with adapter.settings():
        send(results, functions.handshake())
        serve(adapter, functions, requests, results)


def serve(adapter: Adapter, functions: SingleFunctions, requests: IO[bytes], results: IO[bytes]) -> None:
    """Compute the result of each request until the stream ends."""
    while (request := protocol.read(requests)) is not None:
        if isinstance(request, protocol.TrainRequest):
            send(results, train(adapter, request))
        elif isinstance(request, protocol.PointwiseRequest):
            send(results, evaluate(functions, request))
        elif isinstance(request, protocol.DefinitionRequest):
            send(results, functions.definitions(request))
        elif isinstance(request, protocol.GradientRequest):
            case = parse_case(request.spec)
            problem = any_problem(case, arrays_of(case, protocol.unpack_all(request.arrays)), request.rate)
            for mode in request.modes:
                found = respond(adapter, problem, mode)
                send(results, found if isinstance(found, Failure) else protocol.pack_response(found))


def send(results: IO[bytes], message: protocol.Message) -> None:
    """Send a message, and mark on standard error that it was sent."""
    os.write(2, protocol.MARK)
    protocol.write(results, message)


def train(adapter: Adapter, request: protocol.TrainRequest) -> protocol.Message:
    """The weights after each round, or a failure."""
    (mode,) = request.case.modes
    problem = problem_of(Case.parse(request.case.spec), protocol.unpack_arrays(request.case))
    try:
        rounds = training_steps(adapter, problem, mode, request.rate, request.rounds)
        return protocol.TrainResult(mode, [protocol.pack_all(weights) for weights in rounds])
    except Exception as wrong:  # noqa: BLE001  (anything that a framework raises is a result)
        return failure(mode, wrong)


def evaluate(functions: SingleFunctions, request: protocol.PointwiseRequest) -> protocol.Message:
    """A value or derivative of a single function, or a failure."""
    try:
        return protocol.PointwiseResult(request.mode, protocol.pack(functions.evaluate(request)))
    except (Unsupported, NotImplementedError) as wrong:
        return Failure(request.mode, Verdict.UNSUPPORTED, first_line(str(wrong), 200))
    except Exception as wrong:  # noqa: BLE001  (anything that a framework raises is a result)
        return Failure(request.mode, "raised", f"{type(wrong).__name__}: {first_line(str(wrong), 200)}")


class SingleFunctions:
    """Evaluates single functions of a framework, or of a library on top of it, as a survey requests them.

    The last function is cached, and with it what was compiled for it. Raises ImportError if the library is not
    installed.
    """

    def __init__(self, adapter: Adapter, library: str | None = None) -> None:
        self.adapter = adapter
        self.library = library
        self._module = None if library is None else importlib.import_module(library)
        self._pointwise = adapter.pointwise()
        self._last: tuple[Any, Function | None] = (None, None)
        self._is_sum = False
        self._one_by_one = False

    def handshake(self) -> Ready:
        """The framework's handshake with the modes of each quantity; a library has only these modes, and no probes."""
        pointwise = self._pointwise
        modes = {} if pointwise is None else {name: list(pointwise.modes(name)) for name in QUANTITIES}
        if self._module is None:
            return msgspec.structs.replace(handshake(self.adapter), pointwise=modes)
        version = f"{self._module.__version__} ({self.adapter.name} {self.adapter.version})"
        return Ready(version, self.adapter.device, [], {}, modes)

    def evaluate(self, request: protocol.PointwiseRequest) -> np.ndarray:
        """The quantity at all points. Raises Unsupported, or whatever the framework raises."""
        if self._pointwise is None:
            raise Unsupported(f"{self.adapter.name} does not evaluate single functions")
        f = self._function(request)
        points, *constants = (protocol.unpack(x) for x in (request.points, *request.constants))
        count = len(points)
        windows = request.windows
        if self._one_by_one or (self._is_sum and request.weighted):
            windows = tuple((k, k + 1) for start, stop in windows or ((0, count),) for k in range(start, stop))
        elif windows is None and self._pointwise.pads:
            points, *constants = pad_rows(points, *constants)
        mode = self._pointwise.modes(request.quantity)[request.mode]
        if (
            self._is_sum
            and not request.weighted
            and (request.quantity == "value" or not self.adapter.survey_modes()[request.quantity][request.mode].sums)
        ):
            raise Unsupported("it returns one number for all points")

        def part(start: int, stop: int) -> np.ndarray:
            x = self.adapter.array(points[start:stop], request.dtype)
            native = tuple(self.adapter.constant(c[start:stop], request.dtype) for c in constants)
            return join_jacobian(lambda k, j: self.adapter.back(mode(f, x, native, k, j)), request)

        if windows is None:
            return part(0, len(points))[:count]
        return np.concatenate([part(start, stop) for start, stop in windows])

    def definitions(self, request: protocol.DefinitionRequest) -> protocol.DefinitionResult:
        """The results of the public functions at their own defaults; none if the adapter does not name its modules."""
        where = self.adapter.entry_points.get(self.library or self.adapter.name)
        if where is None:
            return protocol.DefinitionResult([])
        arrays = {name: protocol.unpack(x) for name, x in request.operands.items()}

        def operands() -> dict[str, Any]:
            return {name: self.adapter.constant(x, "float64") for name, x in arrays.items()}

        found = [
            protocol.Definition(entry.name, entry.call, entry.options, None, x)
            if isinstance(x, str)
            else protocol.Definition(entry.name, entry.call, entry.options, protocol.pack(x))
            for entry, x in evaluate_entry_points(where, request.names, operands, self.adapter.back)
        ]
        return protocol.DefinitionResult(found)

    def _function(self, request: protocol.PointwiseRequest) -> Function:
        key = (request.kind, request.function, request.dtype, request.weighted, request.by)
        last, implementation = self._last
        if implementation is None or last != key:
            function = KINDS[request.kind].named(request.function)
            if request.by not in ("", "target"):
                implementation = of_weight(request.by, function, lambda held: self._implementation(held, request.dtype))
            else:
                implementation = self._implementation(function, request.dtype)
            if request.by == "target":
                implementation = of_target(implementation)
            if request.weighted:
                implementation = with_cotangents(implementation)
            self._last = (key, implementation)
            self._is_sum = request.kind == "error" and not hasattr(function, REDUCTION)
            self._one_by_one = divides_by_batch(function)
        return implementation

    def _implementation(self, function: Any, dtype: str) -> Function:
        if self.library is None:
            return framework_implementation(function, self.adapter, dtype)
        return library_implementation(function, self.adapter, self.library)


def of_target(function: Function) -> Function:
    """A loss as a function of its target and output, in this order, so that it is differentiated by the target."""
    return lambda t, o: function(o, t)


def of_weight(name: str, loss: Any, implementation: Callable[[Any], Function]) -> Function:
    """A loss as a function of a weight of this name, output and target, in this order."""
    return lambda w, o, t: implementation(loss.holding(**{name: w}))(o, t)


def with_cotangents(function: Function) -> Function:
    """The function times its last operand: the cotangent that reaches the function is that operand."""

    def product(x: Any, *operands: Any) -> Any:
        *constants, cotangent = operands
        y = function(x, *constants)
        return y * cotangent.reshape((*cotangent.shape, *[1] * (y.ndim - cotangent.ndim)) if y.ndim else ())

    return product


def pad_rows(*arrays: np.ndarray) -> list[np.ndarray]:
    """Arrays padded with their last row to a length that is a power of 4.

    A framework compiles for each length; few lengths are faster, since compiling takes much longer than computing.
    """
    count = len(arrays[0])
    length = next(1 << k for k in range(0, 64, 2) if 1 << k >= count)
    rows = np.minimum(np.arange(length), count - 1)
    return [x[rows] for x in arrays]


def join_jacobian(part: Callable[[Any, Any], np.ndarray], request: protocol.PointwiseRequest) -> np.ndarray:
    """The Jacobian from its parts: rows (one output k) in reverse mode, columns (one input j) in forward mode.

    A loss with one value per entry is summed over each row. Second derivatives are those of the first output, with
    respect to each input.
    """
    inputs = request.inputs
    outputs: tuple[int | None, ...] | None = request.outputs
    if outputs is not None and (request.kind == "error" or request.weighted):
        outputs = (None,)
    if outputs is None or inputs is None or request.quantity == "value":
        return part(None, None)
    if request.quantity == "second":
        return np.stack([part(outputs[0], j) for j in inputs], axis=1)
    if request.mode == "forward":
        columns = [part(None, j) for j in inputs]
        if request.kind == "error":
            columns = [y.reshape(len(y), -1).sum(axis=1)[:, None] for y in columns]
        return np.stack(columns, axis=-1)
    return np.stack([part(k, None) for k in outputs], axis=1)


def end_with_parent(descriptor: int) -> None:
    """Kill this process and its children once the writing end of the pipe is closed, even during a computation."""
    if hasattr(select, "poll"):
        threading.Thread(target=_watch, args=(descriptor,), daemon=True).start()


def _watch(descriptor: int) -> None:
    pipe = select.poll()
    pipe.register(descriptor, 0)
    pipe.poll()
    time.sleep(GRACE)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def prefer_for_oom_kill() -> None:
    """If the machine runs out of memory, the system kills this process first, not its parent, which writes results."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main(sys.argv[1:])
