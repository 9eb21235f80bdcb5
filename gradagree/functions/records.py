"""Records and the report of a check of a user's function."""

from __future__ import annotations

import collections
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gradagree.checker.failures import format_failures
from gradagree.checker.verdict import ORDER, Verdict, plain, worst
from gradagree.files import write_text
from gradagree.functions.module_records import ModuleRecord, module_lines

OPERATION = "operation"
"""The quantity of a record of an operation that is not known, and so was not judged."""


class GradientRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one array: an output of the function, or a gradient.

    Args:
        name: The array by the user's name: ``args[0]``, ``weight``, ``output``.
        quantity: ``"value"``, ``"gradient"`` (reverse mode), ``"tangent"`` (forward mode); ``"operation"`` for one that
            is not known, so that only what is around it was checked.
        verdict: The verdict.
        framework: Name of the framework.
        mode: ``"reverse"`` or ``"forward"``.
        order: 1, or 2 for a derivative of the gradient.
        dtype: Dtype of the array.
        shape: Shape of the array.
        condition: What was special about the call, such as ``"non-contiguous cotangent"``; empty for a plain call.
        arithmetic: The finest arithmetic that explains the result: ``"wide"``, ``"opmath"``, ``"opmath forward"``,
            ``"stored"``, or empty if none does.
        ratio: Largest |observed - expected| / tolerance.
        sharpness: Relative tolerance: the largest tolerance over the largest entry.
        share: Share of entries that are larger than their tolerance, or exactly zero.
        entry: Index of the entry with the largest error relative to its tolerance.
        expected: Its expected value, a hexadecimal float; in a finding with a proved radius.
        expected_radius: The proved radius.
        observed: What the framework returned.
        tolerance: The tolerance of that entry.
        derivative: Where the expected gradient comes from: ``"taped"`` from the reference's value, ``"written"`` from a
            hand-written vjp as well.
        reason: Explanation of the verdict.
        place: File and line of the user's code that is at fault, if known.
    """

    name: str
    quantity: str
    verdict: Verdict
    framework: str
    mode: str = "reverse"
    order: int = 1
    dtype: str = ""
    shape: tuple[int, ...] = ()
    condition: str = ""
    arithmetic: str = ""
    ratio: float | str | None = None
    sharpness: float | str | None = None
    share: float | None = None
    entry: tuple[int, ...] | None = None
    expected: str | None = None
    expected_radius: str | None = None
    observed: str | None = None
    tolerance: str | None = None
    derivative: str = "taped"
    reason: str = ""
    place: str = ""

    @property
    def label(self) -> str:
        """``gradient of args[0]``, ``output``, with its condition."""
        what = self.name if self.quantity == "value" else f"{self.quantity} of {self.name}"
        what = f"second derivative, {what}" if self.order == 2 else what
        return what + (f" ({self.condition})" if self.condition else "")


class Disagreement(AssertionError):
    """A gradient is not right.

    Args:
        records: Every record of the check, the passing ones too.
        message: Text of the error; by default each cause once, the worst first.
        report: The report, for a check of a function by inputs.
    """

    def __init__(self, records: Sequence[Any], message: str | None = None, report: Report | None = None) -> None:
        super().__init__(format_failures(records) if message is None else message)
        self.records = list(records)
        self.report = report


class Report:
    """All records of one check of a function.

    Args:
        records: The records, in the order of the arrays.
        function: Name of the function.
        notes: Remarks that concern the whole check, such as arguments that were not used.
        replay: Command that shows a failure again; empty if there is none.
        conditions: What was special in the further calls that were checked, such as ``"expanded cotangent"``.
        parameters: What the function calls its arguments: ``{"args[0]": "x"}``.
        measured: What was measured on the device in use: framework, device, subnormal numbers, factors of products.
        modules: The modules of a model whose operations were judged one by one, in the order in which they ran.

    Example:
        >>> from gradagree import Report
        >>> from gradagree.checker.verdict import Verdict
        >>> from gradagree.functions.records import GradientRecord
        >>> record = GradientRecord(name="args[0]", quantity="gradient", verdict=Verdict.AGREE, framework="torch")
        >>> print(Report([record], "gelu").verdict.value)
        agree
    """

    def __init__(
        self, records: Sequence[GradientRecord], function: str = "", notes: Sequence[str] = (), replay: str = "",
        conditions: Sequence[str] = (), parameters: Mapping[str, str] | None = None,
        measured: Mapping[str, str] | None = None, modules: Sequence[ModuleRecord] = (),
    ) -> None:  # fmt: skip
        self.modules = list(modules)
        self.parameters = dict(parameters or {})
        self.measured = dict(measured or {})
        self.conditions = list(conditions)
        self.replay = replay
        self.records = list(records)
        self.function = function
        self.notes = list(notes)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict; ``unsupported`` without records, or if what was checked agrees, but not all was."""
        if not self.records:
            return Verdict.UNSUPPORTED
        found = worst(r.verdict for r in self.records)
        partly = found is Verdict.AGREE and any(r.quantity == OPERATION for r in self.records)
        return Verdict.UNSUPPORTED if partly else found

    @property
    def failures(self) -> list[GradientRecord]:
        """The records whose verdict fails, the worst first."""
        found = [r for r in self.records if r.verdict.fails]
        return sorted(
            found, key=lambda r: (ORDER[r.verdict], r.quantity != "value", bool(r.condition), -plain(r.ratio))
        )

    def rows(self) -> list[tuple[str, ...]]:
        """One row for each array: its name, verdict, relative tolerance, share of checked entries, arithmetic."""
        groups: dict[tuple[int, str, str, str], list[GradientRecord]] = collections.defaultdict(list)
        for record in self.records:
            groups[record.order, record.quantity, record.name, record.dtype].append(record)
        found: list[tuple[str, ...]] = []
        for group in groups.values():
            first = min(group, key=lambda r: ORDER[r.verdict])
            tolerance = "" if first.sharpness is None else f"{plain(first.sharpness):.1e}"
            share = "" if first.share is None else f"{first.share:.0%}"
            verdict = f"{first.verdict.symbol} {first.verdict.value}"
            found.append((first.label, first.dtype, verdict, tolerance, share, first.arithmetic))
        return found

    HEADER = ("array", "dtype", "verdict", "relative tolerance", "entries checked", "arithmetic")

    def __str__(self) -> str:
        table: list[tuple[str, ...]] = [self.HEADER, *self.rows()]
        widths = [max(len(row[k]) for row in table) for k in range(len(self.HEADER))]
        lines = ["  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in table]
        title = f"{self.function}: {self.verdict.value}" if self.function else self.verdict.value
        return "\n".join([title, *lines, *(f"note: {note}" for note in self.notes), *module_lines(self.modules)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row(cells, "td") for cells in self.rows())
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        title = f"<caption>{html.escape(self.function)}: {self.verdict.value}</caption>"
        return f"<table>{title}<thead>{row(self.HEADER, 'th')}</thead><tbody>{body}</tbody></table>{notes}"

    def to_html(self, path: str | Path) -> Path:
        """Write the report as an HTML page, which loads nothing.

        Args:
            path: File to write.

        Returns:
            The path.

        Raises:
            UsageError: The file cannot be written.
        """
        from gradagree.functions.page import function_page

        write_text(Path(path), function_page(self))
        return Path(path)

    def to_json(self) -> bytes:
        """The function, its verdict, the notes and all records as one JSON object."""
        whole = {
            "function": self.function, "verdict": self.verdict, "notes": self.notes, "replay": self.replay,
            "conditions": self.conditions, "parameters": self.parameters, "measured": self.measured,
            "records": self.records, "modules": self.modules,
        }  # fmt: skip
        return msgspec.json.encode(whole)

    @classmethod
    def from_json(cls, text: bytes | str) -> Report:
        """The report that `to_json` has written."""
        whole = msgspec.json.decode(text)
        records = msgspec.convert(whole["records"], list[GradientRecord])
        return cls(
            records,
            whole["function"],
            whole["notes"],
            whole["replay"],
            whole["conditions"],
            whole.get("parameters"),
            whole.get("measured"),
            msgspec.convert(whole.get("modules", []), list[ModuleRecord]),
        )
