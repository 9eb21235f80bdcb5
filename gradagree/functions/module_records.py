"""The table of the modules of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from gradagree.checker.verdict import ORDER, Verdict

HEADER = ("module", "verdict", "relative tolerance", "operations", "entries", "seconds")
MOST = 40
"""Modules that the table in the terminal shows."""


class ModuleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one module of a model: on all operations that its own code calls.

    Args:
        name: Its qualified name, as in ``model.named_modules()``; empty for the model itself.
        verdict: The worst verdict of its operations.
        sharpness: The largest relative tolerance of its operations.
        operations: The number of its operations.
        entries: The number of entries of values and gradients that were compared.
        seconds: The time that their check took.
        unchecked: Why some of its operations could not be checked.
        faults: What is wrong, one sentence for each failing operation.
    """

    name: str
    verdict: Verdict
    sharpness: float = 0.0
    operations: int = 0
    entries: int = 0
    seconds: float = 0.0
    unchecked: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    def row(self) -> tuple[str, ...]:
        """Its row in the table."""
        return (
            self.name or "(model)", f"{self.verdict.symbol} {self.verdict.value}",
            f"{self.sharpness:.1e}", str(self.operations), f"{self.entries:,}", f"{self.seconds:.2f}",
        )  # fmt: skip


def worst_first(modules: Sequence[ModuleRecord]) -> list[ModuleRecord]:
    """The modules that fail, the worst first, then the others in the order of the model."""
    failing = sorted((one for one in modules if one.verdict.fails), key=lambda one: ORDER[one.verdict])
    return [*failing, *(one for one in modules if not one.verdict.fails)]


@dataclass
class ModuleBranch:
    """A module in the tree of a page, with those inside it.

    Args:
        name: The last part of its qualified name.
        path: The qualified name.
        record: Its record; None for a module whose own code calls no operation.
        inside: The modules inside it.
        verdict: The worst verdict of its operations and of those inside it.
        is_open: True on the way to the worst module.
    """

    name: str
    path: str
    record: ModuleRecord | None = None
    inside: dict[str, ModuleBranch] = field(default_factory=dict)
    verdict: Verdict = Verdict.AGREE
    is_open: bool = False


def module_tree(modules: Sequence[ModuleRecord]) -> ModuleBranch:
    """The modules as a tree, open on the way to the worst one."""
    root = ModuleBranch("(model)", "", is_open=True)
    for one in modules:
        for branch in way_to(root, one.name):
            if ORDER[one.verdict] < ORDER[branch.verdict]:
                branch.verdict = one.verdict
        branch.record = one
    if modules:
        worst = min(modules, key=lambda one: (not one.verdict.fails, ORDER[one.verdict]))
        for branch in way_to(root, worst.name) if worst.verdict is not Verdict.AGREE else ():
            branch.is_open = True
    return root


def way_to(root: ModuleBranch, name: str) -> list[ModuleBranch]:
    """The branches from the root to a module, made where they are missing."""
    way, path = [root], ""
    for part in name.split(".") if name else ():
        path = f"{path}.{part}" if path else part
        way.append(way[-1].inside.setdefault(part, ModuleBranch(part, path)))
    return way


def module_lines(modules: Sequence[ModuleRecord]) -> list[str]:
    """The table for the terminal."""
    if not modules:
        return []
    shown = worst_first(modules)[:MOST]
    table = [HEADER, *(one.row() for one in shown)]
    widths = [max(len(row[k]) for row in table) for k in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in table]
    rest = [f"and {len(modules) - len(shown)} more modules"] if len(modules) > len(shown) else []
    unchecked = dict.fromkeys(reason for one in modules for reason in one.unchecked)
    faults = [fault for one in shown for fault in one.faults]
    return ["", *lines, *rest, *faults[:10], *(f"not checked: {reason}" for reason in list(unchecked)[:10])]
