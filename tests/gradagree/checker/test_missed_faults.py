"""Faults at few inputs, widths, batch sizes or dtypes are found by `check` and by the default run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gradagree import Activation
from gradagree.api import Disagreement, _records_of, check
from gradagree.runner.extensions import load_all
from gradagree.runner.options import Plan

EXTENSION = '''
import numpy as np
from gradagree import Activation

class {name}(Activation):
    """silu, negated in torch and jax where a condition is true."""

    def value(self, p):
        return p / (1 + np.exp(-p))

    def derivative(self, p):
        s = 1 / (1 + np.exp(-p))
        return s * (1 + p * (1 - s))

    def torch(self, p, torch):
        where = torch.zeros_like(p, dtype=torch.bool) | ({torch})
        y = torch.nn.functional.silu(p)
        return torch.where(where, -y, y)

    def jax(self, p, jax):
        where = jax.numpy.zeros(p.shape, dtype=bool) | ({jax})
        y = jax.nn.silu(p)
        return jax.numpy.where(where, -y, y)
'''
FAULTS = {
    "column": ("torch.arange(p.shape[-1]) >= 128", "jax.numpy.arange(p.shape[-1]) >= 128"),
    "row": ("torch.arange(p.shape[0])[:, None] >= 32", "jax.numpy.arange(p.shape[0])[:, None] >= 32"),
    "batch": ("torch.tensor(p.shape[0] > 32)", "jax.numpy.array(p.shape[0] > 32)"),
    "subnormal": (
        "(p != 0) & (p.abs() < torch.finfo(p.dtype).tiny)",
        "(p != 0) & (abs(p) < jax.numpy.finfo(p.dtype).tiny)",
    ),
    "negative_zero": ("(p == 0) & torch.signbit(p)", "(p == 0) & jax.numpy.signbit(p)"),
    "huge": ("p.abs() > 1e4", "abs(p) > 1e4"),
    "bfloat16": ("torch.tensor(p.dtype == torch.bfloat16)", "jax.numpy.array(p.dtype == jax.numpy.bfloat16)"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of each fault is loaded once; its function leaves the catalogue at the end."""
    found = tmp_path_factory.mktemp("faults")
    for name, (torch, jax) in FAULTS.items():
        text = EXTENSION.format(name=f"Wrong{name.title().replace('_', '')}", torch=torch, jax=jax)
        (found / f"wrong_{name}.py").write_text(text)
    yield found
    for name in FAULTS:
        Activation.catalogue.pop(f"wrong_{name}", None)


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("name", FAULTS)
def test_that_check_finds_the_fault(name: str, framework: str, folder: Path) -> None:
    (kind,) = load_all([str(folder / f"wrong_{name}.py")]).named
    modes = {"torch": "backward", "jax": "grad"}[framework]
    with pytest.raises(Disagreement) as caught:
        check(kind, frameworks=framework, modes=modes)
    assert kind.name in {record.function for record in caught.value.records if record.verdict.fails}


@pytest.mark.parametrize(
    ("name", "mode"), [*((name, "torch:backward") for name in FAULTS), ("column", None), ("bfloat16", "jax:packed")]
)
def test_that_the_default_run_finds_the_fault(name: str, mode: str | None, folder: Path) -> None:
    """Mode None: all of jax, whose packed programs do not see columns."""
    (kind,) = load_all([str(folder / f"wrong_{name}.py")]).named
    framework = "torch" if mode == "torch:backward" else "jax"
    plan = Plan.make(frameworks=framework, modes=mode, activations=kind.name)
    assert any(record.verdict.fails for record in _records_of(framework, plan))
