"""The audit of a test run: watches gradients and comparisons, and makes a record of each comparison of a gradient."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from gradagree.adapters.audit_arrays import ArrayKind
from gradagree.adapters.formats import PARTS
from gradagree.arithmetic.model import FORMATS
from gradagree.audit.judgement import Pair, judge, worst
from gradagree.audit.patches import Patches, Wrapper
from gradagree.audit.provenance import ArrayKinds, Gradients, KnownGradient
from gradagree.audit.records import AuditRecord, worse

Quad = tuple[Any, Any, Any, Any]
"""Actual, expected, atol, rtol."""
Pairs = Callable[[Mapping[str, Any]], Iterable[Quad]]
OURS, SITE = str(Path(__file__).parents[1]), "site-packages"
"""Our own folder, whose frames are skipped, and the folder of installed libraries."""
MOST_ORIGINS = 100
MOST_DIFFERENCES = 32
MOST_CALLS = 20
"""Numerical checks at one place of one test are judged so often, and then counted: some tests run thousands."""


class Audit:
    """One audit; `install` patches the libraries, `start` and `finish` enclose a test.

    Args:
        root: The folder of the project; files below it are the project's own.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.arrays = ArrayKinds()
        self.gradients = Gradients(self.arrays)
        self.patches = Patches()
        self.kept: list[Any] = []
        """Tensors whose gradient a backward pass keeps although they are no leaves."""
        self.symbols: dict[int, Any] = {}
        """Placeholders for gradients in functions that are being transformed."""
        self.differences: list[tuple[Any, Any, KnownGradient, Any]] = []
        """Differences between a gradient and another value: result, the other value, the gradient, its copy."""
        self.records: dict[tuple[Any, ...], AuditRecord] = {}
        """The records of the test by file, line, function and dtype."""
        self.origins: dict[str, tuple[Pair, AuditRecord]] = {}
        """Pairs whose differentiated function is known, by the key of their record."""
        self.failures: dict[str, int] = {}
        self.seconds = 0.0
        self.test, self.path = "", ""
        self._local = threading.local()
        self._repeated: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._places: dict[str, bool] = {}
        self._names: dict[str, str] = {}
        self._count = 0

    # -- state

    @property
    def inside(self) -> int:
        """Number of audited calls that are running."""
        return getattr(self._local, "inside", 0)

    @inside.setter
    def inside(self, depth: int) -> None:
        self._local.inside = depth

    @property
    def capture(self) -> list[Quad] | None:
        """Where comparisons inside a numerical check are kept; None outside of one."""
        return getattr(self._local, "capture", None)

    @capture.setter
    def capture(self, pairs: list[Quad] | None) -> None:
        self._local.capture = pairs

    def start(self, test: str, path: str) -> None:
        """Begin a test."""
        self.test, self.path = test, path
        self.drain()

    def drain(self) -> list[AuditRecord]:
        """The records since the last call, which are forgotten."""
        found = list(self.records.values())
        self.records, self._repeated = {}, {}
        return found

    def finish(self) -> None:
        """End the test, and forget its gradients."""
        self.gradients.clear()
        self.symbols.clear()
        self.differences.clear()
        self.kept.clear()
        self.test = ""

    def guarded(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of the audit: its time is counted, its failures too, and neither reaches the test."""
        start, depth = time.perf_counter(), self.inside
        self.inside = depth + 1
        try:
            return function(*args)
        except Exception as error:  # noqa: BLE001 (the audit must not change a test)
            name = f"{getattr(function, '__name__', function)}: {type(error).__name__}: {str(error)[:200]}"
            self.failures[name] = self.failures.get(name, 0) + 1
            return None
        finally:
            self.inside = depth
            self.seconds += time.perf_counter() - start

    # -- what adapters call

    def add_kind(self, kind: ArrayKind) -> None:
        """Make a kind of arrays known."""
        self.arrays.kinds.append(kind)

    def leaf_pairs(self, actual: Any, expected: Any) -> Iterator[tuple[Any, Any]]:
        """The arrays of two nested containers of one structure, side by side."""
        first, second = self.arrays.leaves(actual), self.arrays.leaves(expected)
        if len(first) == len(second):
            yield from zip(first, second, strict=True)
        elif len(first) == 1 or len(second) == 1:
            yield actual, expected

    def mark(self, value: Any, source: str, origin: Any = None) -> None:
        """Remember all arrays in a value as gradients."""
        with self.arrays.quiet():
            for leaf in self.arrays.leaves(value):
                if self.arrays.is_concrete(leaf) or isinstance(leaf, float):
                    self.gradients.mark(leaf, source, origin)
                elif leaf is not None and self.arrays.kind(leaf) is not None:
                    self.symbols[id(leaf)] = leaf

    def source(self, owner: Any, name: str, label: str, pick: Callable[..., Any]) -> None:
        """Watch a function; pick takes its result and arguments and returns the gradients."""
        original = getattr(owner, name, None)
        if original is None:
            return

        def call(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            result = original(*args, **kwargs)
            if self.test and not self.inside:
                self.guarded(lambda: self.mark(pick(result, args, kwargs), label))
            return result

        self.patches.replace(owner, name, Wrapper(original, call))

    def transform(
        self, owner: Any, name: str, label: str, pick: Callable[..., Any], traceable: bool = False,
        curried: bool = False,
    ) -> None:  # fmt: skip
        """Watch a function of a function: the results of what it returns are gradients.

        With curried, what it returns returns a function of cotangents or tangents, alone or first.
        """
        original = getattr(owner, name, None)
        if original is None:
            return

        def call(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            made = original(*args, **kwargs)
            if not callable(made):
                return made
            bound = self.guarded(_bind, original, None, args, kwargs) or {}
            aux, function = bool(bound.get("has_aux")), bound.get("fun", bound.get("func"))

            def differentiated(*inputs: Any, **named: Any) -> Any:
                __tracebackhide__ = True
                result = made(*inputs, **named)
                if curried and callable(result):
                    return self._marking(result, label, pick)
                if curried and isinstance(result, tuple):
                    return self._marking(result[0], label, pick), *result[1:]
                if self.test and not self.inside:
                    known = traceable and not named and not aux
                    origin = (function, inputs, bound.get("argnums", 0)) if known else None
                    self.guarded(lambda: self.mark(pick(result, aux), label, origin))
                return result

            return Wrapper(made, differentiated)

        self.patches.replace(owner, name, Wrapper(original, call))

    def _marking(self, function: Any, label: str, pick: Callable[..., Any]) -> Wrapper:
        """The function, with its results marked."""

        def call(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            result = function(*args, **kwargs)
            if self.test and not self.inside:
                self.guarded(lambda: self.mark(pick(result, False), label))
            return result

        return Wrapper(function, call)

    def pullback(self, owner: Any, name: str, label: str) -> None:
        """Watch a function that returns a value and a function of cotangents."""
        original = getattr(owner, name, None)
        if original is None:
            return

        def call(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            value, made, *rest = original(*args, **kwargs)
            return (value, self._marking(made, label, lambda result, aux: result), *rest)

        self.patches.replace(owner, name, Wrapper(original, call))

    def passage(self, owner: Any, name: str, hold: bool = False) -> None:
        """Watch a transformation that hands results on: outputs of what it returns are gradients where inner ones are.

        With hold, each function has one inner function, so that caches keyed by it keep working.
        """
        original = getattr(owner, name, None)
        if original is None:
            return
        from gradagree.audit.passages import make_passage

        self.patches.replace(owner, name, Wrapper(original, make_passage(self, original, hold)))

    def comparison(
        self, owner: Any, name: str, label: str, pairs: Pairs, parameters: Mapping[str, Any] | None = None,
        inside: bool = False,
    ) -> Any:  # fmt: skip
        """Watch a comparison; pairs takes its arguments by name, or unbound if parameters is empty.

        With inside, the library's own calls are watched too. Returns what stands in for the function.
        """
        original = getattr(owner, name, None)
        if original is None:
            return None

        def call(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if not self.test or (self.inside and self.capture is None):
                return original(*args, **kwargs)
            depth, capture, passed = self.inside, self.capture, False
            self.inside, self.capture = depth + 1, None
            try:
                result = original(*args, **kwargs)
                passed = not isinstance(result, bool) or result
            finally:
                self.inside, self.capture = depth, capture
                self.guarded(self._compared, label, original, parameters, pairs, args, kwargs, passed)
            return result

        wrapper = Wrapper(original, call)
        self.patches.replace(owner, name, wrapper, inside)
        return wrapper

    def numerical(self, owner: Any, name: str, label: str, origin: Callable[[Mapping[str, Any]], Any]) -> None:
        """Watch a check against finite differences; the comparisons inside it are those of the gradient."""
        original = getattr(owner, name, None)
        if original is None:
            return

        def call(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if not self.test or self.inside:
                return original(*args, **kwargs)
            depth, self.inside, self.capture, passed = self.inside, self.inside + 1, [], False
            try:
                result = original(*args, **kwargs)
                passed = not isinstance(result, bool) or result
            finally:
                found, self.capture, self.inside = self.capture or [], None, depth
                self.guarded(self._checked, label, original, origin, found, args, kwargs, passed)
            return result

        self.patches.replace(owner, name, Wrapper(original, call))

    # -- records

    def _compared(
        self, label: str, original: Any, parameters: Any, pairs: Pairs, args: Any, kwargs: Any, passed: bool
    ) -> None:  # fmt: skip
        quads = list(pairs(_bind(original, parameters, args, kwargs)))
        with self.arrays.quiet():
            if self.capture is not None:
                self.capture += quads
                return
            found = [pair for quad in quads if (pair := self.pair(*quad)) is not None]
        self.record(label, found, passed)

    def _checked(
        self, label: str, original: Any, origin: Any, quads: list[Quad], args: Any, kwargs: Any, passed: bool
    ) -> None:
        place = (*self.locate(), label)
        last = self._repeated.get(place)
        if last is not None and self.records[last].calls >= MOST_CALLS:
            self.records[last] = msgspec.structs.replace(self.records[last], calls=self.records[last].calls + 1)
            return
        made = origin(_bind(original, None, args, kwargs))
        with self.arrays.quiet():
            known = KnownGradient(None, label, made)
            # derivatives by differences are never exactly zero: the analytic side is the value that is replaced
            pairs = (self.pair_of(a, a, atol, rtol, False, known) for a, _, atol, rtol in quads)
            found = [pair for pair in pairs if pair is not None]
        self.record(label, found, passed)
        for where in self.records:
            if where[:3] == place:
                self._repeated[place] = where

    def pair(self, actual: Any, expected: Any, atol: Any, rtol: Any) -> Pair | None:
        """The pair of a comparison; None if neither side is a gradient."""
        gradient = self.gradients.find(actual)
        if gradient is not None:
            return self.pair_of(actual, expected, atol, rtol, False, gradient)
        gradient = self.gradients.find(expected)
        return None if gradient is None else self.pair_of(actual, expected, atol, rtol, True, gradient)

    def pair_of(
        self, actual: Any, expected: Any, atol: Any, rtol: Any, swapped: bool, gradient: KnownGradient
    ) -> Pair | None:
        """The pair of two sides, one of which is a gradient; None if they hold no numbers."""
        one, two, own = (self.arrays.numbers(x) for x in (actual, expected, gradient.array))
        if one is None or two is None:
            return None
        dtypes = [read[1] for read in (one, two, own) if read is not None and read[1]]
        sides = (two[0], one[0]) if swapped else (one[0], two[0])
        dtype = min(dtypes, key=_precision, default="float64")
        return Pair(*sides, atol, float(rtol), dtype, gradient.source, gradient.origin, swapped)

    def record(self, label: str, pairs: list[Pair], passed: bool) -> None:
        """Keep the record of a comparison: that of its worst pair."""
        if not pairs:
            return
        judged = [judge(pair) for pair in pairs]
        place = worst(judged)
        file, line = self.locate()
        self._count += 1
        key = f"{id(self):x}-{self._count}"
        made = AuditRecord(
            test=self.test, file=file, line=line, function=label, passed=passed, key=key, **judged[place]
        )
        where = (file, line, label, made.dtype)
        if where in self.records:
            self.records[where] = worse(self.records[where], made)
        else:
            self.records[where] = made
            if pairs[place].origin is not None and len(self.origins) < MOST_ORIGINS:
                self.origins[key] = pairs[place], made

    def locate(self) -> tuple[str, int]:
        """The file and line of the comparison: in the file of the test if it is on the stack."""
        frame: FrameType | None = sys._getframe(1)
        own: FrameType | None = None
        near: FrameType | None = None
        while frame is not None:
            name = frame.f_code.co_filename
            if name == self.path:
                return self._relative(name), frame.f_lineno
            own = frame if own is None and self._is_own(name) else own
            near = frame if near is None and not name.startswith(OURS) else near
            frame = frame.f_back
        found = near if own is None else own  # a test that a project inherits from a library
        return (self._relative(found.f_code.co_filename), found.f_lineno) if found is not None else ("unknown", 0)

    def _is_own(self, name: str) -> bool:
        if name not in self._places:
            parts = Path(name).parts
            inside = name.startswith(f"{self.root}/") and SITE not in parts and not name.startswith(OURS)
            self._places[name] = inside
        return self._places[name]

    def _relative(self, name: str) -> str:
        if name not in self._names:
            path = Path(name)
            if path.is_relative_to(self.root):
                self._names[name] = str(path.relative_to(self.root))
            else:
                inside = SITE in path.parts
                self._names[name] = str(Path(*path.parts[path.parts.index(SITE) + 1 :])) if inside else path.name
        return self._names[name]


def _bind(function: Any, parameters: Mapping[str, Any] | None, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments of a call by name, defaults included; unbound without any parameters."""
    if parameters is not None and not parameters:
        return {"args": args, "kwargs": kwargs}
    if parameters is None:
        bound = _signature(function).bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)
    return {**parameters, **dict(zip(parameters, args, strict=False)), **kwargs}


@functools.lru_cache(maxsize=256)
def _signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


def _precision(dtype: str) -> int:
    form = FORMATS.get(PARTS.get(dtype, dtype))
    return 64 if form is None else form.precision
