"""The account of coverage: what is said of every name that the frameworks list. ``python -m gradagree.coverage``.

It prints ``docs/coverage.md``, which is made of the account alone, whatever is installed.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

from gradagree.accounts import ACCOUNTS
from gradagree.reference import Activation, ErrorFunction

HOMES = ("activation", "adaptive", "distance", "dropout", "linear_cross_entropy", "loss")
SAME, LEFT = "same as ", "not covered: "


@dataclass(frozen=True)
class Entry:
    """One name, and what is said of it."""

    name: str
    said: str

    @property
    def status(self) -> str:
        """covered, same as, or not covered."""
        return next((mark.rstrip(": ") for mark in (SAME, LEFT) if self.said.startswith(mark)), "covered")


def account(library: str) -> dict[str, Entry]:
    """Every name of a library that something is said of."""
    entries: dict[str, Entry] = {}
    for line in ACCOUNTS[library].replace("\\\n", "").strip().splitlines():
        names, _, said = line.partition(": ")
        entries |= {name: Entry(name, said) for name in names.split()}
    return entries


def listed(library: str) -> list[str]:
    """The functions, or the activations and losses among the modules, that the installed library lists.

    Raises ImportError where it is not installed.
    """
    module, counts = importlib.import_module(library), is_module if library == "torch.nn" else is_function
    return sorted(name for name in dir(module) if not name.startswith("_") and counts(getattr(module, name)))


def is_function(thing: Any) -> bool:
    """A function, or what jax has made of one."""
    return inspect.isroutine(thing) or (
        callable(thing) and hasattr(thing, "__wrapped__") and not inspect.isclass(thing)
    )


def is_module(thing: Any) -> bool:
    """An activation, error function, dropout or distance among the classes of torch.nn, by where it is defined."""
    return inspect.isclass(thing) and thing.__module__.rpartition(".")[2] in HOMES


def unaccounted(library: str) -> list[str]:
    """The names that the installed library lists and nothing is said of."""
    return [name for name in listed(library) if name not in account(library)]


def summary(entry: Entry) -> str:
    """The formula of the function that covers a name."""
    kind: Any = Activation if entry.said in Activation.catalogue else ErrorFunction
    return str(kind.named(entry.said).summary())


def page() -> str:
    """``docs/coverage.md``."""
    lines = ["# Coverage", "", "What gradagree says of every activation and error function that the frameworks list."]
    lines += ["This page is made by `python -m gradagree.coverage > docs/coverage.md`."]
    for library in ACCOUNTS:
        entries = account(library).values()
        counts = Counter(entry.status for entry in entries)
        told = ", ".join(f"{counts[status]} {status}" for status in ("covered", "same as", "not covered"))
        lines += ["", f"## {library}", "", f"{len(entries)} names: {told}.", ""]
        lines += ["| name | | formula or reason |", "| --- | --- | --- |"]
        lines += [_row(entry) for entry in sorted(entries, key=lambda entry: entry.name.lower())]
    return "\n".join(lines) + "\n"


def _row(entry: Entry) -> str:
    if entry.status == "covered":
        return f"| `{entry.name}` | covered by `{entry.said}` | {summary(entry).replace('|', chr(92) + '|')} |"
    if entry.status == "same as":
        return f"| `{entry.name}` | same as `{entry.said.removeprefix(SAME)}` | |"
    return f"| `{entry.name}` | not covered | {entry.said.removeprefix(LEFT)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
