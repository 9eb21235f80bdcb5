"""Supervised worker processes: started, limited in time and memory, and restarted when they die.

Each worker has private pipes and one computing thread; the parent has a thread for each end of the pipes.

The parent limits the memory of a worker. A limit on its address space (``RLIMIT_AS``) fails: XLA reserves stacks
and arenas in proportion to the number of cores (measured on two: 1.5 GB of addresses, 0.2 GB resident), and a failed
allocation makes a framework raise or abort as if it had a bug. So the parent reads the resident set several times a
second, which no framework can prevent, and kills a worker that exceeds the limit.
"""

from __future__ import annotations

import contextlib
import itertools
import operator
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from gradagree.cases.case import Arrays, Case
from gradagree.cases.graph_case import AnyCase, GraphArrays
from gradagree.checker.response import Absent, Failure, Ready, Response
from gradagree.checker.verdict import Verdict
from gradagree.runner import protocol

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NPROC": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
"""Two processes with two threads each are slower than two with one."""
START_LIMIT = 300.0
REQUEST_LIMIT = 300.0
"""Seconds to start, and for one result."""
MAX_EXTERNAL_KILLS = 5
"""After this many kills from outside during one request, the request is reported as crashing."""
MAX_EXTERNAL_KILLS_AT_START = 20
"""After this many kills from outside during consecutive starts, which no request causes, each request has one start."""
MAX_STDERR_BYTES = 1 << 26
"""Standard error of a worker is cut at this size."""
POLL_INTERVAL = 0.1
"""Seconds between two checks of a worker's memory."""
MEMORY_SHARE = 0.5
"""Share of the machine's memory that one worker may use."""
MEMORY_LIMIT_FILE = Path("/sys/fs/cgroup/memory.max")
EXIT_WAIT = 2.0
"""Seconds for a worker whose pipe is closed to exit."""
EXTERNAL_EXIT_CODES = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit codes of a worker that was killed from outside: by a person, or by a system without memory."""


class WorkerDied(Exception):
    """A worker died or exceeded a limit: the verdict's name, the reason, and whether it was killed from outside."""

    def __init__(self, verdict: Verdict, reason: str, external: bool = False) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason
        self.external = external


class FrameworkProcess:
    """The worker process of one framework, restarted by the next request when it has died.

    `handshake` is its first message: `Ready`, or `Absent` with the reason.
    """

    def __init__(
        self, framework: str, extensions: Sequence[str] = (), limit: float = REQUEST_LIMIT, memory: int | None = None
    ) -> None:
        self.framework = framework
        self.extensions = tuple(extensions)
        self.limit = limit
        self.memory = default_memory_limit() if memory is None else memory
        self.handshake: Ready | Absent = Absent("not started")
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._killed_starts = 0

    def start(self) -> Ready | Absent:
        """Start the worker and wait until the framework is imported and probed."""
        while True:
            self._launch()
            try:
                message = self._receive(START_LIMIT)
            except WorkerDied as death:
                self.handshake = Absent(f"its process did not start: {death.reason}", broken=True)
                self._killed_starts += death.external
                if not death.external or self._killed_starts >= MAX_EXTERNAL_KILLS_AT_START or self._closed:
                    return self.handshake
            else:
                known = isinstance(message, Ready | Absent)
                self.handshake = message if known else Absent("sent no handshake", True)
                self._killed_starts = 0
                return self.handshake

    def _launch(self) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        self._process = launch([self.framework, *self.extensions], self._stderr)
        self._messages: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=read_messages, args=(self._process, self._messages), daemon=True).start()

    def train(
        self, case: Case, arrays: Arrays, mode: str, rate: float, rounds: list[list[int]]
    ) -> protocol.TrainResult | Failure:
        """The framework's own training from the case's weights, on its inputs and targets."""
        request = protocol.TrainRequest(protocol.pack_arrays(case.spec, arrays, [mode]), rate, rounds)
        return self._result(request, mode)

    def evaluate(self, request: protocol.PointwiseRequest) -> np.ndarray | Failure:
        """A value or derivative of a single function at all points of the request."""
        result = self._result(request, request.mode)
        return result if isinstance(result, Failure) else protocol.unpack(result.values)

    def definitions(self, request: protocol.DefinitionRequest) -> list[protocol.Definition]:
        """The public functions of the request with their results; none if the worker dies."""
        result = self._result(request, request.mode)
        return [] if isinstance(result, Failure) else result.found

    def compute(
        self, case: AnyCase, arrays: Arrays | GraphArrays, modes: Sequence[str], rate: float | None = None
    ) -> Iterator[Response | Failure]:
        """One result for each mode, in order."""
        return (result for _, result in self.compute_all([(case, arrays, modes)], rate))

    def compute_all(
        self, cases: Sequence[tuple[AnyCase, Any, Sequence[str]]], rate: float | None = None
    ) -> Generator[tuple[int, Response | Failure]]:
        """(index of a case, result) for each of its modes, in order.

        A mode in which the worker dies costs that mode of that case alone; a request during which the worker was killed
        from outside is repeated.
        """

        def encode(waiting: list[tuple[int, str]]) -> Iterator[protocol.Message]:
            for index, group in itertools.groupby(waiting, operator.itemgetter(0)):
                case, arrays, _ = cases[index]
                yield protocol.pack_arrays(case.spec, arrays, [mode for _, mode in group], rate)

        waiting = [(index, mode) for index, (_, _, modes) in enumerate(cases) for mode in modes]
        for index, result in self._results(waiting, encode):
            yield index, result if isinstance(result, Failure) else protocol.unpack_response(result)

    def _result(self, request: protocol.Message, mode: str) -> Any:
        """The only result of a request."""
        ((_, result),) = self._results([(0, mode)], lambda _: [request])
        return result

    def _results(
        self, waiting: list[tuple[int, str]], encode: Callable[[list[tuple[int, str]]], Iterable[protocol.Message]]
    ) -> Generator[tuple[int, Any]]:
        """(index, result) for each (index, mode), in order; `encode` makes the requests for those that are waiting."""
        kills = 0
        while waiting:
            try:
                if self._process is not None and resident_memory(self._process.pid) > self.memory:
                    self.stop()
                if self._process is None and not self._closed:
                    self.start()
                for result in self._send(encode(list(waiting)), [mode for _, mode in waiting]):
                    index, _ = waiting.pop(0)
                    kills = 0
                    yield index, result
            except WorkerDied as death:
                kills += death.external
                if death.external and kills < MAX_EXTERNAL_KILLS:
                    continue
                kills = 0
                index, mode = waiting.pop(0)
                yield index, Failure(mode, death.verdict, death.reason)

    def _send(self, requests: Iterable[protocol.Message], modes: list[str]) -> Iterator[Any]:
        """Send requests and yield a result for each mode; kill the worker if not all of them are consumed."""
        process = self._process
        if process is None or process.stdin is None or isinstance(self.handshake, Absent):
            handshake = self.handshake
            raise WorkerDied(Verdict.CRASHED, handshake.reason if isinstance(handshake, Absent) else "stopped")
        missing = len(modes)
        try:
            threading.Thread(target=write_messages, args=(process.stdin, requests), daemon=True).start()
            for mode in modes:
                result = self._receive(self.limit)
                if not isinstance(result, protocol.Result) or result.mode != mode:
                    raise WorkerDied(Verdict.CRASHED, "sent a result that was not requested")
                missing -= 1
                yield result
        finally:
            if missing:
                self.stop()

    def _receive(self, limit: float) -> Any:
        """The next message. Kills the worker and raises WorkerDied if it is late or holds too much memory."""
        left = limit
        while left > 0:
            try:
                message = self._messages.get(timeout=min(left, POLL_INTERVAL))
                break
            except queue.Empty:
                left -= POLL_INTERVAL
                self._check_limits()
        else:
            self.stop()
            raise WorkerDied(Verdict.TIMEOUT, f"no result within {limit:g} seconds")
        if isinstance(message, Exception):
            self.stop()
            raise WorkerDied(Verdict.CRASHED, f"wrote invalid data to its pipe: {message}")
        if message is None:
            process = self._process
            death = WorkerDied(Verdict.CRASHED, "stopped") if process is None else exit_status(process, self._stderr)
            self.stop()
            raise death
        return message

    def _check_limits(self) -> None:
        """Kill the worker and raise WorkerDied if it holds too much memory; truncate a long standard error."""
        process = self._process
        if process is None:
            return
        if resident_memory(process.pid) > self.memory:
            self.stop()
            raise WorkerDied(Verdict.CRASHED, f"used more than {self.memory / 2**30:.3g} GiB of memory")
        with contextlib.suppress(OSError, ValueError):
            if os.fstat(self._stderr.fileno()).st_size > MAX_STDERR_BYTES:
                os.truncate(self._stderr.fileno(), 0)

    def stop(self) -> None:
        """Kill the worker and its children; the next request starts it anew."""
        process, self._process = self._process, None
        if process is None:
            return
        kill_group(process)
        self._stderr.close()

    def close(self) -> None:
        """Kill the worker permanently; pending requests fail."""
        self._closed = True
        self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RequestQueue:
    """Requests for single functions to a worker process, sent one after another by a thread; results are futures."""

    def __init__(self, process: FrameworkProcess) -> None:
        self._process = process
        self._thread = ThreadPoolExecutor(1)
        self._started = self._thread.submit(process.start)

    @property
    def handshake(self) -> Ready | Absent:
        """The worker's first message, once it has started."""
        return self._started.result()

    def submit(self, request: protocol.PointwiseRequest) -> Future[np.ndarray | Failure]:
        return self._thread.submit(self._process.evaluate, request)

    def definitions(self, request: protocol.DefinitionRequest) -> Future[list[protocol.Definition]]:
        return self._thread.submit(self._process.definitions, request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()
        self._thread.shutdown(cancel_futures=True)
        self._process.stop()


def launch(arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    """A worker in a session of its own, with one thread; its standard error goes to a file."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "gradagree.runner.worker", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, **ONE_THREAD},
        start_new_session=True,
    )


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def write_messages(stream: IO[bytes], messages: Iterable[protocol.Message]) -> None:
    """Write requests while results are read; a worker that has died reads no more."""
    with contextlib.suppress(OSError, ValueError):
        for message in messages:
            protocol.write(stream, message)


def read_messages(process: subprocess.Popen[bytes], messages: queue.Queue[Any]) -> None:
    """Queue each message of a worker; None at its end, an exception for anything that is no message."""
    assert process.stdout is not None
    with process.stdout as stream:
        try:
            while (message := protocol.read(stream)) is not None:
                messages.put(message)
            messages.put(None)
        except Exception as wrong:  # noqa: BLE001  (garbage on the pipe can raise anything)
            messages.put(wrong)


def exit_status(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> WorkerDied:
    """The signal or exit code of a worker whose pipe is closed, and its last line on stderr since its last message."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=EXIT_WAIT)
    code = process.poll()
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - 4096))
    lines = stderr.read().rpartition(protocol.MARK)[2].decode(errors="replace").strip().splitlines()
    status = "closed its pipe" if code is None else f"exit code {code}"
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            status = signal.Signals(-code).name
    last_line = f": {lines[-1].strip()[:300]}" if lines else ""
    return WorkerDied(Verdict.CRASHED, status + last_line, code in EXTERNAL_EXIT_CODES)


def default_memory_limit() -> int:
    """Bytes that one worker may hold: half of the machine's memory, or of the control group's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(MEMORY_LIMIT_FILE.read_text()))
    return int(total * MEMORY_SHARE)


def resident_memory(pid: int) -> int:
    """Bytes that a process holds in memory; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
