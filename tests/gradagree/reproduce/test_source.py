"""A function written as source gives the numbers of the framework's implementation."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, ClassVar

import numpy as np
import pytest

from gradagree.adapters import Adapter, Unsupported
from gradagree.adapters.adapter import framework_of
from gradagree.adapters.pointwise import framework_implementation, library_implementation, without_reduction
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import allowed_width, some_targets, to_domain
from gradagree.reproduce.source import SourceWriter, script_text

LIBRARIES = ("torch", "jax", "optax")
EXAMPLES = 3


def functions(library: str) -> list[Activation | ErrorFunction]:
    """All functions for the first library; some for the others, which compile each one."""
    kinds = [*Activation.catalogue.values(), *ErrorFunction.catalogue.values()]
    known = [kind() for kind in kinds if kind.__module__.startswith("gradagree.") and hasattr(kind, library)]
    scalars = [f for f in known if all(np.ndim(getattr(f, name)) == 0 for name in getattr(f, "parameter_names", ()))]
    return scalars[:: 1 if library == "torch" else 4]


@pytest.mark.parametrize("library", LIBRARIES)
def test_that_source_gives_the_numbers_of_the_implementation(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    adapter = Adapter.catalogue[framework_of(library)]()
    with adapter.settings():
        compared = [function for function in functions(library) if agree(function, library, adapter)]
    assert len(compared) > 5


def agree(function: Any, library: str, adapter: Adapter) -> bool:
    """Assert that both give the same array; False if the library does not have the function."""
    text = source_of(function, library)
    space = {module: importlib.import_module(module) for module in (library, adapter.name)}
    exec(text, space)
    operands = [adapter.constant(x, "float64") for x in arrays(function)]
    try:
        if library == adapter.name:
            implementation = framework_implementation(function, adapter, "float64")
        else:
            implementation = library_implementation(function, adapter, library)
        expected = adapter.back(implementation(*operands))
    except Unsupported:
        return False
    assert np.array_equal(adapter.back(space["f"](*operands)), expected, equal_nan=True), text
    return True


def source_of(function: Activation | ErrorFunction, library: str) -> str:
    source = SourceWriter(library, script_text(library).parameter)
    source.write(without_reduction(function), "f")
    return "\n".join(source.lines())


def arrays(function: Activation | ErrorFunction) -> list[np.ndarray]:
    n = 4 if isinstance(function, Activation) else allowed_width(function, 4)
    x = np.linspace(-1.5, 2, EXAMPLES * n).reshape(EXAMPLES, n)
    if isinstance(function, Activation):
        return [x]
    return [to_domain(function.domain, x), some_targets(function, EXAMPLES, n)]


def test_that_parameters_are_arguments_where_the_program_has_them() -> None:
    source = SourceWriter("torch")
    name = source.name_for(Activation.named("prelu"))
    assert source.functions[name].startswith("def prelu(p, a):")
    assert source.name_for(Activation.named("prelu")) == name
    assert source.name_for(Activation.named("leaky_relu(negative_slope=0.5)")) == "leaky_relu"
    assert source.name_for(Activation.named("leaky_relu")) == "leaky_relu_"


def test_that_an_attribute_that_is_no_literal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Activation, "catalogue", dict(Activation.catalogue))

    class Table(Activation):
        """A(p) = p."""

        table: ClassVar[Any] = np.ones(1)

        def value(self, p: Any) -> Any:
            return 1 * p

        def derivative(self, p: Any) -> Any:
            return 1 + 0 * p

        def torch(self, p: Any, torch: Any) -> Any:
            return p * self.table[0]

    with pytest.raises(UsageError, match=r"^table\.table, which f uses, cannot be written as source$"):
        source_of(Table(), "torch")
