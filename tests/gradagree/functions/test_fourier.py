"""Fourier transforms: NumPy's on the tape, PyTorch's and JAX's judged, and wrong scales and signs found."""

from __future__ import annotations

from typing import Any

import flint
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from gradagree import assert_grads
from gradagree.arithmetic.ball import Ball, precision
from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.tape import trace
from gradagree.functions.records import Disagreement
from gradagree.reference.operations.complex_numbers import join_parts
from gradagree.reference.operations.fourier import dft, unit_circle

RNG = np.random.default_rng(8)
RE, IM = RNG.standard_normal((2, 6, 5))
OF_REALS = ("rfft", "rfft2", "rfftn", "ihfft")
LINES = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
PLANES = ("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {"n": n, "norm": norm}) for name in LINES for n, norm in ((None, None), (4, "ortho"), (9, "forward"))),
    *((name, {"norm": norm}) for name in PLANES for norm in (None, "ortho", "forward")),
    *((name, {"axes": (0,)}) for name in ("fftn", "irfftn", "fftshift", "ifftshift")),
    ("fftshift", {}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_that_a_recorded_transform_has_the_values_of_numpy(name: str, options: dict[str, Any]) -> None:
    function = getattr(np.fft, name)

    def parts(re: Any, im: Any) -> Any:
        found = function(re if name in OF_REALS else join_parts(re, im), **options)
        return np.real(found), np.imag(found)

    graph = trace(parts, RE, IM)
    re, im = graph.results(graph.evaluate([RE, IM]))
    expected = function(RE if name in OF_REALS else RE + 1j * IM, **options)
    assert np.shape(re) == expected.shape
    assert np.allclose(re + 1j * im, expected, rtol=0, atol=1e-13)


def test_that_the_factors_are_exact_where_they_can_be_and_enclosed_elsewhere() -> None:
    assert np.array_equal(np.abs(unit_circle(np.zeros(1), np.arange(4), 4)), [[1, 0, 1, 0], [0, 1, 0, 1]])
    with precision(200):
        found = unit_circle(Ball.exact(np.zeros(1)), np.arange(7), 7)
        angle = 2 * flint.arb.pi() * 3 / 7
        assert found.balls[0, 3].overlaps(angle.cos())
        assert found.balls[1, 3].overlaps(angle.sin())
        assert np.all(found.radius < 1e-55)


@pytest.mark.parametrize("n", [2, 5, 8, 31, 64])
def test_that_the_bound_encloses_the_transform_of_numbers_of_any_size(n: int) -> None:
    sizes = 10.0 ** RNG.uniform(-6, 6, (2, 3, n))
    z = (RNG.standard_normal((2, 3, n)) * sizes).astype(np.float32).astype(float)
    found = dft(Rounded.stored(z, model("float32")))
    single = np.zeros((3, n), dtype=np.complex64)  # sums in float32, one term after the other
    for j in range(n):
        factor = np.exp(-2j * np.pi * j * np.arange(n) / n).astype(np.complex64)
        single = single + (z[0] + 1j * z[1]).astype(np.complex64)[:, j : j + 1] * factor
    with precision(128):
        exact = dft(Ball.exact(z)).middle
    for values in (np.stack([single.real, single.imag]), exact):
        assert np.all(np.abs(values - found.value) <= found.radius)
    assert np.all(found.radius <= 1e-5 * n * np.abs(z).sum(axis=(0, -1))[None, :, None])


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "fft2", "rfft2", "irfft2"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_that_transforms_of_both_frameworks_agree(name: str, dtype: str) -> None:
    numbers = RE if name in OF_REALS else RE + 1j * IM
    kind = dtype if name in OF_REALS else {"float32": "complex64", "float64": "complex128"}[dtype]
    given = torch.tensor(numbers, dtype=getattr(torch, kind))
    report = assert_grads(getattr(torch.fft, name), (given,), modes=("reverse", "forward"))
    assert report.verdict.value == "agree"
    with jax.enable_x64(dtype == "float64"):
        args = (jnp.asarray(numbers, dtype=kind),)
        assert assert_grads(getattr(jnp.fft, name), args, layouts=False, repeat=1).verdict.value == "agree"


INPUTS = {
    "mean": lambda z: z + 100,
    "spike": lambda z: np.where(np.arange(z.shape[-1]) == 30, 1e3, 1e-3 * z),
    "tone": lambda z: 100 * np.exp(6j * np.pi * np.arange(z.shape[-1]) / z.shape[-1]) + z,
    "sizes": lambda z: z * 10.0 ** (np.arange(z.shape[-1]) % 9 - 4),
}


@pytest.mark.parametrize("n", [97, 256, 331])
@pytest.mark.parametrize("kind", INPUTS)
def test_that_no_fast_algorithm_is_accused(kind: str, n: int) -> None:
    z = INPUTS[kind](RNG.standard_normal((2, n)) + 1j * RNG.standard_normal((2, n)))
    given = torch.tensor(z, dtype=torch.complex64)
    assert not assert_grads(torch.fft.fft, (given,), layouts=False, repeat=1).verdict.fails
    assert not assert_grads(jnp.fft.fft, (jnp.asarray(z, "complex64"),), layouts=False, repeat=1).verdict.fails


def test_that_convolution_by_transforms_agrees_with_itself_in_second_order_as_well() -> None:
    """A plain sum is no reference for it: the error of a transform is bounded by all entries, not by each."""

    def convolve(x: Any, w: Any) -> Any:
        return torch.fft.irfft(torch.fft.rfft(x) * torch.fft.rfft(w), n=5)

    drawn = np.random.default_rng(5)
    for _ in range(5):
        x, w = (torch.as_tensor(drawn.standard_normal(shape)) for shape in ((3, 5), (5,)))
        assert_grads(convolve, (x, w), order=2)


WRONG = {
    "no scale": lambda g: torch.fft.fft(g),
    "the inverse": lambda g: torch.fft.ifft(g),
    "the conjugate": lambda g: torch.fft.fft(g).conj() / 5,
    "right": lambda g: torch.fft.fft(g) / 5,
}


@pytest.mark.parametrize("reference", [None, np.fft.ifft], ids=["itself", "numpy"])
@pytest.mark.parametrize("fault", WRONG)
def test_that_a_wrong_backward_pass_of_an_inverse_transform_is_found(fault: str, reference: Any) -> None:
    class Inverse(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, z: Any) -> Any:
            return torch.fft.ifft(z)

        @staticmethod
        def backward(_: Any, g: Any) -> Any:
            return WRONG[fault](g)

    given = torch.tensor(RE + 1j * IM, dtype=torch.complex64)
    if fault == "right":
        assert_grads(Inverse.apply, (given,), reference=reference)
        return
    with pytest.raises(Disagreement, match=r"(?s)gradient of args\[0\].*Inverse.backward .* is wrong"):
        assert_grads(Inverse.apply, (given,), reference=reference)
