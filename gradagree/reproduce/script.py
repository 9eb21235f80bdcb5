"""Script of a case."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.adapters import Adapter, example_weight
from gradagree.adapters.modes import ScriptText
from gradagree.cases.case import Case
from gradagree.checker.comparison import ERROR_BOX
from gradagree.checker.verdict import Record, Verdict, plain
from gradagree.errors import UsageError, nearest
from gradagree.report.text import exact, visible
from gradagree.reproduce.source import Code

# Numbers and arrays as a script writes them: exactly
# ---------------------------------------------------


WIDTH = 110


def number_literal(stored: Any) -> str:
    x = plain(stored)
    return repr(x) if math.isfinite(x) else f'float("{x}")'


def array_literal(array: np.ndarray) -> str:
    """``np.array([[...]])``, broken into lines; numbers are written exactly."""
    kind = ", dtype=np.int64" if array.dtype.kind == "i" else ""
    if array.ndim == 1:
        return f"np.array({array.tolist()!r}{kind})"
    rows = [repr(row) for row in array.tolist()]
    inside = ", ".join(rows)
    return (
        f"np.array([{inside}]{kind})"
        if len(inside) < WIDTH
        else "np.array([\n    " + ",\n    ".join(rows) + f",\n]{kind})"
    )


# A finding as a script that needs only NumPy and the framework, and ends with 1 while the fault exists
# -----------------------------------------------------------------------------------------------------


WHAT = {
    Verdict.CRASHED: "raises an error", Verdict.TIMEOUT: "does not end", Verdict.INACCURATE: "loses digits",
    Verdict.VALUE_DIFFERS: "is that of another function", Verdict.NONFINITE: "is not finite",
}  # fmt: skip
ALONE = """\
if sys.argv[1:] != ["alone"]:  # what follows may take its process with it, or never end
    try:
        ended = subprocess.run([sys.executable, __file__, "alone"], timeout={limit}).returncode
    except subprocess.TimeoutExpired:
        ended = "no answer within {limit} seconds"
    print("ended with", ended)
    sys.exit(1 if ended else 0)"""
ALONE_LIMIT = 60
"""Seconds that a script gives what may hang, compilers included."""
CHECK = """\
right = observed == expected or (np.isnan(observed) and np.isnan(expected))
right = right or (np.isfinite(observed) and abs(observed - expected) <= tolerance)
distance = f"the distance is {abs(observed - expected):.3g}, the tolerance {tolerance:.3g}"
print("expected", repr(expected), "observed", repr(observed))
print("right:" if right else "wrong:", distance)
sys.exit(0 if right else 1)"""


def headline(record: Record) -> str:
    """``torch 2.13.0+cpu backward: the gradient of hardsigmoid`` and the kind of error."""
    what = "ends its process" if died(record) else WHAT.get(record.verdict, "is wrong")
    of = f"of {visible(record.function)} " if record.function else ""
    noun = "the value" if part_of(record) in ("c", "E") else "the gradient"
    return f"{visible(record.framework)} {visible(record.version)} {visible(record.mode)}: {noun} {of}{what}"


def died(record: Record) -> bool:
    return record.verdict is Verdict.CRASHED and not record.reason.startswith(("raised ", "its answer "))


def part_of(record: Record) -> str:
    return (record.entry or "").partition("[")[0]


def script(case: Case, record: Record) -> str:
    """The complete script. Raises UsageError for a framework, mode or function without script support."""
    return Script(case, record).text()


def script_text(framework: str, mode: str) -> ScriptText:
    """What the scripts of a framework share. Raises UsageError for a mode that has no source."""
    offered = {f"{name}:{m}" for name, kind in Adapter.catalogue.items() for m, r in kind.modes.items() if r.source}
    text = Adapter.catalogue[framework].script if framework in Adapter.catalogue else None
    if text is None or f"{framework}:{mode}" not in offered:
        raise UsageError(
            f"--script: no script is known for {framework}:{mode}; {nearest(f'{framework}:{mode}', offered)}"
        )
    return text


@dataclass
class Script:
    """Writes the script of one case and record."""

    case: Case
    record: Record

    def text(self) -> str:
        framework, mode = self.record.framework, self.record.mode
        text = script_text(framework, mode)
        lines, code = Adapter.mode(f"{framework}:{mode}").source, Code(framework)
        network = list(self.network(code))
        parts = text.settings, text.leaves, text.target, text.target_dtype
        settings, leaves, target, to = (part.replace("{dtype}", self.case.dtype) for part in parts)
        scale = (
            example_weight(self.case.error, self.case.batch) if Adapter.mode(f"{framework}:{mode}").per_example else 1.0
        )
        lines = lines.replace("{scale}", "" if scale == 1 else f" * {scale!r}").replace("{each}", repr(self.each()))
        asked = "\n".join([
            leaves, target.replace("{to}", "" if self.case.error.targets == "classes" else to), lines,
        ])  # fmt: skip
        first = ["import subprocess"] * self.lost + ["import sys"]
        imports = dict.fromkeys([*first, "import numpy as np", f"import {framework}", *code.imports])
        constants = [f"{name} = {value}" for name, value in code.constants.items()]
        functions = [f"\n{function}\n" for function in reversed(code.functions.values())]
        blocks = [
            self.docstring(), "\n".join(imports), *[ALONE.format(limit=ALONE_LIMIT)] * self.lost, settings,
            *constants, *functions, "\n" + "\n".join(network) + "\n", "\n".join(self.numbers()), *self.ending(asked),
        ]  # fmt: skip
        return re.sub(r"\n{4,}", "\n\n\n", "\n\n".join(blocks)) + "\n"

    @property
    def lost(self) -> bool:
        """True if the process died or hung; then the script starts a process of its own."""
        return died(self.record) or self.record.verdict is Verdict.TIMEOUT

    def docstring(self) -> str:
        record, words = self.record, [f"{headline(self.record)}.", ""]
        if record.expected is not None:
            radius = plain(record.expected_radius)
            proved = "" if math.isnan(radius) else f" (proved within {radius:.1e})"
            words.append(f"{visible(record.entry)}: expected {exact(record.expected, record.dtype)}{proved},")
            words.append(f"observed {exact(record.observed, record.dtype)}.")
        words += [visible(record.reason)] * bool(record.reason)
        words.append(f"Needs numpy and {record.framework}. Ends with 1 while the fault exists, with 0 when it is gone.")
        text = "\n".join(words).replace("\\", "\\\\").replace('"', "'")
        return f'"""{text}\n"""'

    def names(self) -> list[str]:
        """The leaves, in order."""
        arrays = self.case.arrays()
        weights = [f"w{k}" for k in range(1, len(arrays.weights) + 1)]
        biases = [f"b{k}" for k, b in enumerate(arrays.biases, 1) if b is not None]
        own = [f"{name}{k}" for k, a in enumerate(self.case.activations, 1) for name in a.own_weights]
        return ["p1", *weights, *biases, *own, *(f"tap{k}" for k in range(1, self.case.depth + 1))]

    def each(self) -> list[bool]:
        """Which leaves have one row for each example."""
        return [name == "p1" or name.startswith("tap") for name in self.names()]

    def network(self, code: Code) -> Iterator[str]:
        """The forward pass, box by box."""
        case, arrays = self.case, self.case.arrays()
        yield f"def error({', '.join(self.names())}, t):"
        yield '    """E, and what each box hands inwards."""'
        for k, activation in enumerate(case.activations, 1):
            own = "".join(f", {name}{k}" for name in activation.own_weights)
            a = f"p{k}" if str(activation) == "id" else f"{code.name_for(activation)}(p{k}{own})"
            w = f" @ w{k}" if k <= len(arrays.weights) else ""
            b = f" + b{k}" if k <= len(arrays.biases) and arrays.biases[k - 1] is not None else ""
            yield f"    p{k + 1} = {a}{w}{b} + tap{k}"
        handed = ", ".join(f"p{k + 1}" for k in range(1, case.depth + 1))
        yield f"    return {code.name_for(case.error)}(p{case.depth + 1}, t), [{handed}]"

    def numbers(self) -> Iterator[str]:
        arrays = self.case.arrays()
        known = {f"w{k}": w for k, w in enumerate(arrays.weights, 1)}
        known |= {f"b{k}": b for k, b in enumerate(arrays.biases, 1) if b is not None}
        yield f"p1 = {array_literal(arrays.inputs)}"
        for name, array in known.items():
            yield f"{name} = {array_literal(array)}"
        for k, activation in enumerate(self.case.activations, 1):
            for name in activation.own_weights:
                yield f"{name}{k} = np.array({np.asarray(getattr(activation, name), dtype=float).tolist()!r})"
        widths = [box.shape[-1] for box in self.handed()]
        for k, width in enumerate(widths, 1):
            yield f"tap{k} = np.zeros(({self.case.batch}, {width}))"
        yield f"target = {array_literal(arrays.targets)}"
        yield f"arrays = [{', '.join(self.names())}]"

    def handed(self) -> list[np.ndarray]:
        from gradagree.checker.reverse import case_boxes

        p, found = self.case.arrays().inputs, []
        with np.errstate(all="ignore"):
            for box in case_boxes(self.case, self.case.arrays()):
                p = np.asarray(box.weigh(p))
                found.append(p)
        return found

    def ending(self, asked: str) -> Iterator[str]:
        if self.record.expected is None or self.record.entry is None:
            yield "try:\n" + "\n".join(f"    {line}" if line else "" for line in asked.split("\n"))
            yield 'except Exception as wrong:\n    print("raised", type(wrong).__name__ + ":", wrong)\n    sys.exit(1)'
            yield 'print("no error")'
            return
        yield asked
        yield "\n".join([
            f"expected = {number_literal(self.record.expected)}  # {self.record.expected}",
            f"tolerance = {self.tolerance()}",
            f"observed = float({self.observed()})", CHECK,
        ])  # fmt: skip

    def tolerance(self) -> str:
        """The error allowed to a correct program; for lost digits, half of the observed error."""
        if self.record.verdict is Verdict.INACCURATE:
            return repr(abs(plain(self.record.observed) - plain(self.record.expected)) / 2)
        return number_literal(self.record.tolerance)

    def observed(self) -> str:
        """Where the entry lies in what the mode gives."""
        part, box = part_of(self.record), self.record.box
        index = re.findall(r"\[[\d, ]+\]", self.record.entry or "")
        place = index[0] if index else ""
        value = script_text(self.record.framework, self.record.mode).detached
        if part == "E":
            return f"E{value}"
        if part == "E'":
            raise UsageError(
                "--script: this case has so many weights that only directions were asked; choose a smaller one"
            )
        k = self.case.depth + 1 if box == ERROR_BOX else int(str(box))
        if part == "c":
            return f"handed[{k - 1}]{value}{place}"
        leaf = {"delta_p": "p1" if k == 1 else f"tap{k - 1}", "dw": f"w{k}", "db": f"b{k}"}.get(part, f"{part[1:]}{k}")
        return f"gradients[{self.names().index(leaf)}]{place}"
