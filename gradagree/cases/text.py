"""The parts of a case's text: widths, activations, counts and seeds, each refused with the reason where it is none."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from gradagree.errors import UsageError
from gradagree.reference import Activation

MAX_ACTIVATIONS = 10_000


def split_outside_parentheses(text: str, separator: str) -> list[str]:
    """The parts between separators that are in no parentheses."""
    parts, depth = [""], 0
    for piece in re.split(f"([(){re.escape(separator)}])", text):
        if piece == separator and depth == 0:
            parts.append("")
            continue
        depth = max(0, depth + {"(": 1, ")": -1}.get(piece, 0))
        parts[-1] += piece
    return parts


def shorten(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


class CaseText(NamedTuple):
    """The parts of a case text, read without knowing its functions; without parts where it is no case text.

    runs holds the activations with the number of consecutive operations that each stands for.
    """

    parts: tuple[str, ...] = ()
    runs: tuple[tuple[str, int], ...] = ()

    @property
    def family(self) -> str:
        """The family of a graph of layers; empty for a chain."""
        return self.parts[0].partition("-")[0] if self.parts and self.parts[0][:1].isalpha() else ""

    @property
    def widths(self) -> list[str]:
        return self.parts[0].split("-") if self.parts and not self.family else []

    @property
    def activations(self) -> list[str]:
        """Every activation, or layer of a graph, once."""
        return list(dict.fromkeys(name for name, _ in self.runs))

    @property
    def depth(self) -> int:
        return sum(count for _, count in self.runs)

    @property
    def error(self) -> str:
        return self.parts[2] if self.parts else ""

    @property
    def dtype(self) -> str:
        return self.parts[4] if self.parts else ""

    @property
    def regime(self) -> str:
        return self.parts[5] if self.parts else ""

    def with_dtype(self, dtype: str) -> str:
        """The text with another dtype."""
        return ":".join([*self.parts[:4], dtype, *self.parts[5:]])


@functools.lru_cache(maxsize=4096)
def split_case(text: str) -> CaseText:
    """Split a case text into its parts, without validation."""
    parts = split_outside_parentheses(text, ":")
    if len(parts) != 7:
        return CaseText()
    found = [
        re.fullmatch(r"(.*?)(?:\*([1-9]\d{0,3}))?", part, re.DOTALL)
        for part in split_outside_parentheses(parts[1], ",")
    ]
    runs = [(match[1], int(match[2] or 1)) for match in found if match is not None]
    if parts[0][:1].isalpha():
        runs = [(operation_of(name), count) for name, count in runs]
    return CaseText(tuple(parts), tuple(runs))


def operation_of(node: str) -> str:
    """The operation of a node of a graph, without its size and inputs: ``dense`` of ``dense/4@2``."""
    return re.sub(r"(/[\dx]+)?(@[\d+]*)?$", "", node)


def parse_widths(text: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    layers = [re.fullmatch(r"([1-9]\d{0,8})(b?)", part) for part in text.split("-")]
    found = [layer for layer in layers if layer is not None]
    if len(found) < max(len(layers), 2) or found[0][2]:
        raise UsageError(f"{shorten(text)!r} are no widths: write them as 10-4b-6 (b: that box has biases)")
    return tuple(int(layer[1]) for layer in found), tuple(bool(layer[2]) for layer in found[1:])


def parse_activations(text: str) -> tuple[Activation, ...]:
    found: list[Activation] = []
    for part in split_outside_parentheses(text, ","):
        name, _, times = part.partition("*")
        if times and not re.fullmatch(r"[1-9]\d{0,3}", times):
            raise UsageError(f"{shorten(part)!r}: write NAME*COUNT, for example tanh*3")
        found.extend([Activation.named(name)] * int(times or 1))
        if len(found) > MAX_ACTIVATIONS:
            raise UsageError(f"{len(found):,} activations are more than {MAX_ACTIVATIONS:,}")
    return tuple(found)


def parse_count(text: str, letter: str, what: str) -> int:
    match = re.fullmatch(letter + r"([1-9]\d{0,8})", text)
    if match is None:
        raise UsageError(f"{shorten(text)!r} is no number of {what}: write {letter}8")
    return int(match[1])


def parse_seed(text: str) -> int | str:
    match = re.fullmatch(r"s(\d{1,18})|@([0-9a-f]{12})", text)
    if match is None:
        raise UsageError(f"{shorten(text)!r} is no seed: write s93, or @ and twelve hexadecimal digits")
    return int(match[1]) if match[1] else match[2]
