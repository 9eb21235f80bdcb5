"""Runs as a comparison sees them, made from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gradagree.checker.verdict import Record, Verdict
from gradagree.compare import Side

FUNCTIONS = ("tanh", "relu", "gelu", "silu", "elu")
Make = Callable[..., list[Record]]
Change = Callable[[Record], dict[str, Any]]


def make_run(cases: int = 200, seed: int = 1) -> list[Record]:
    """Records of cases with two activations each, all of which agree, in two modes."""
    source = random.Random(seed)
    records = []
    for index in range(cases):
        first, second = source.sample(FUNCTIONS, 2)
        spec = f"2-3-1:id,{first},{second}:sse:n8:f32:grid:s{index}"
        for mode in ("backward", "vmap"):
            ratio = source.lognormvariate(-3, 1)
            common = {"index": index, "case": f"{index:06d}", "spec": spec, "sha256": "", "framework": "torch"}
            numbers = {"ratio": ratio, "sharpness": source.lognormvariate(-13, 1), "function": first, "box": 2}
            exact = {"expected": "0x1p+0", "observed": "0x1p+0", "tolerance": (2.0**-19).hex()}
            side = {"version": "2.12.0", "mode": mode, "dtype": "float32", "verdict": Verdict.AGREE}
            records.append(Record(**common, **side, **numbers, **exact))
    return records


def change_some(records: list[Record], change: Change) -> list[Record]:
    return [msgspec.structs.replace(record, **({"version": "2.13.0"} | change(record))) for record in records]


@pytest.fixture
def make() -> Make:
    return make_run


@pytest.fixture
def changed() -> Callable[[list[Record], Change], list[Record]]:
    """The same run, each record with what a function of it says."""
    return change_some


@pytest.fixture
def side() -> Callable[..., Side]:
    """A side of these records."""

    def made(records: list[Record], **facts: Any) -> Side:
        found = Side("run", **facts)
        for record in records:
            found.add(record)
        return found

    return made
