"""Only code about dense layers names weights and biases; everything else addresses parameters by their names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DENSE = ("gradagree/cases/", "gradagree/checker/dense", "gradagree/train/", "gradagree/report/training")
"""Beginnings of the files that are about dense layers: cases, their checks, and training of the classic network."""
NAMES = {"weights", "biases", "w", "b", "dw", "db"}
"""Attributes and fields of a dense layer."""
ALLOWED = {
    "gradagree/arithmetic/model.py": "Model.biases is a format",
    "gradagree/arithmetic/networks.py": "a network of dense layers as a graph",
    "gradagree/report/sections.py": "so is that of a probe",
    "gradagree/report/network.py": "the picture of the trained network",
}


def dense_names(source: str) -> Iterator[tuple[int, str]]:
    """The line and name of each attribute that only a dense layer has."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield node.lineno, node.attr


def sources() -> list[str]:
    links = ("gradagree/reference/", "gradagree/adapters/")
    files = (str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("gradagree/**/*.py")))
    return [file for file in files if not file.startswith(links + DENSE) and file not in ALLOWED]


def test_that_only_dense_layers_name_weights_and_biases() -> None:
    found = [f"{file}:{line}: {name}" for file in sources() for line, name in dense_names((ROOT / file).read_text())]
    assert not found, "use names of parameters (Problem.parameters, Node.parameters):\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line", ["problem.weights[0]", "layer.b + 1", "gradient.w.shape", "for x in case.biases: pass"]
)
def test_that_a_module_that_names_weights_is_found(line: str) -> None:
    assert list(dense_names(f"import numpy\n{line}\n"))
    assert len(sources()) > 80
