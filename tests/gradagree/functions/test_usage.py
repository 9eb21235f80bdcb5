"""Bad input to a check of a function: one sentence each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree import assert_grads
from gradagree.errors import UsageError
from gradagree.functions.usage import parameter_names

torch = pytest.importorskip("torch")
X = torch.linspace(-1, 1, 6).reshape(2, 3)


def refuses_tracing(x: Any) -> Any:
    if torch.overrides._len_torch_function_stack():
        raise RuntimeError("no modes, please")
    return x * x


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((torch.tanh, X), {}, r"args is a Tensor; give the arguments in a tuple or list, such as args=\(x,\)"),
        ((3, [X]), {}, "3 cannot be called; give a function or a module"),
        ((torch.tanh, [X]), {"kwargs": [1]}, "kwargs is a list; give a dict of keyword arguments"),
        ((torch.tanh, [X]), {"modes": "revers"}, "modes='revers': did you mean 'reverse'"),
        ((torch.tanh, [X]), {"modes": ()}, "modes is empty; give 'reverse', 'forward' or both"),
        ((torch.tanh, [X]), {"order": 3}, "order=3: give 1 for gradients, or 2"),
        ((torch.tanh, [X]), {"arithmetic": "wider"}, "arithmetic='wider': did you mean 'wide'"),
        ((torch.tanh, [X]), {"repeat": 0}, "repeat=0: give the number of calls, 1 or more"),
        ((torch.tanh, [X]), {"wrt": 1}, r"wrt=1 is no floating-point argument; did you mean 'args\[0\]'"),
        ((torch.abs, [torch.arange(3)]), {}, r"no input is floating-point: args\[0\] \(int64\); give one"),
        ((torch.tanh, [torch.full((2,), torch.nan)]), {}, r"args\[0\] holds NaN or infinity; give finite numbers"),
        ((torch.abs, [X + 1j]), {"reference": lambda z: z}, "output is real, but complex in the reference; return its"),
        ((torch.argsort, [X]), {}, "returns no floating-point array; there is no gradient to check"),
        ((torch.matmul, [X, X]), {}, "the function cannot be called with these arguments: RuntimeError: mat1"),
        ((torch.tanh, [np.ones(3)]), {}, "the arguments hold no array of torch or jax"),
        ((refuses_tracing, [X]), {}, "the function cannot be traced: no modes, please"),
        (
            (torch.special.bessel_j0, [X]),
            {},
            "aten.special_bessel_j0 is known.* give a reference function in NumPy",
        ),
        ((torch.tanh, [X]), {"reference": 3}, "reference=3 cannot be called; give a function, an Operation or a Graph"),
        ((torch.tanh, [X]), {"reference": lambda _x: None}, "the reference returns None, which is no array"),
        ((torch.tanh, [X]), {"reference": lambda x: x @ x}, "the reference cannot be evaluated with NumPy: .*matmul"),
        ((torch.tanh, [X]), {"cotangents": [X, X]}, "2 cotangents are given for 1 outputs; give one for each, or None"),
        ((torch.tanh, [X]), {"cotangents": X[0]}, r"cotangents\[0\] has shape \(3,\), the output \(2, 3\)"),
        ((torch.tanh, [X]), {"cotangents": [None]}, "all cotangents are None"),
        ((torch.nn.Linear(3, 2), [X]), {"reference": lambda x: x}, "has no argument 'weight' for the module's param"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_that_bad_input_is_one_sentence(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        assert_grads(*arguments, **options)
    assert "\n" not in str(caught.value)


class Scaled(torch.nn.Module):  # type: ignore[misc]
    def forward(self, x: object, *, scale: float = 2.0) -> None:
        """Not called."""


def test_that_arguments_have_the_names_of_the_function() -> None:
    def function(x: object, params: object, /, *more: object) -> None:
        """Not called."""

    class Own(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: object, query: object, key: object) -> None:
            """Not called."""

    assert parameter_names(function, (1, 2, 3)) == {"args[0]": "x", "args[1]": "params"}
    assert parameter_names(Own.apply, (1, 2)) == {"args[0]": "query", "args[1]": "key"}
    assert parameter_names(Scaled(), (1,)) == {"args[0]": "x"}
    assert parameter_names(Scaled().forward, (1,)) == {"args[0]": "x"}
    assert parameter_names(torch.sin, (1,)) == {}


def test_that_the_message_has_the_name_and_the_path_in_it() -> None:
    def function(x: object, params: dict[str, object]) -> object:
        return x * torch.sin(params["w"]).detach()  # type: ignore[operator, no-any-return]

    args = [torch.ones(2), {"w": torch.ones(2)}]
    with pytest.raises(AssertionError, match=r"worst entry: gradient of args\[1\]\['w'\] \(params\['w'\]\) at \["):
        assert_grads(function, args, reference=lambda x, params: x * np.sin(params["w"]))
