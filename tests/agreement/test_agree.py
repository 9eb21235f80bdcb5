"""The agreement suite: every framework's gradients against backpropagation by hand, in blocks of random cases."""

import dataclasses
import zlib

import pytest

from gradagree.adapters import Adapter
from gradagree.cases.random import draw
from gradagree.cases.regimes import REGIMES
from gradagree.runner.options import DTYPES

SEED = 2026
KNOWN = {"torch": frozenset({"hardsigmoid", "bce", "soft_margin"})}
"""What is proved wrong in test_known.py; all else must agree."""


@dataclasses.dataclass(frozen=True)
class Block:
    """So many architectures, from a place in the stream of random ones that is the mode's own."""

    framework: str
    mode: str
    number: int
    size: int

    def __str__(self) -> str:
        return f"{self.framework}-{self.mode}-b{self.number:03d}"

    def cases(self):
        """The block's cases, each with its number in the whole suite."""
        own = zlib.crc32(f"{self.framework}:{self.mode}".encode())
        start = self.number * self.size
        cases = draw(self.size, SEED + own, DTYPES, regimes=tuple(REGIMES), start=start)
        known = KNOWN.get(self.framework, frozenset())
        return [(i, case) for i, case in enumerate(cases, start * len(DTYPES)) if not known & functions(case)]


def functions(case):
    """The names of the functions in a case."""
    return {function.name for function in (*case.activations, case.error)}


SIZES = {
    "torch:backward": (6, 50),
    "torch:grad": (1, 50),
    "torch:vmap": (2, 50),
    "torch:forward": (2, 50),
    "torch:compile": (1, 1),
    "jax:jit": (6, 5),
    "jax:grad": (4, 3),
    "jax:vmap": (2, 2),
    "jax:forward": (2, 2),
    "jax:packed": (1, 8),
}
"""Blocks, and architectures in each; modes that compile every shape see fewer."""

BLOCKS = [
    Block(framework, mode, number, SIZES[f"{framework}:{mode}"][1])
    for framework in ("torch", "jax")
    for mode in Adapter.catalogue[framework].modes
    for number in range(SIZES[f"{framework}:{mode}"][0])
]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_agree(block, gradagree_block):
    cases = block.cases()
    records = gradagree_block(block.framework, block.mode, cases)
    assert len(records) == len(cases) > block.size * len(DTYPES) / 2
