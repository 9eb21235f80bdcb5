"""Proofs in ball arithmetic, before any framework runs: each derivative matches its value, and all kinks are listed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from gradagree.arithmetic.ball import Ball, precision
from gradagree.arithmetic.dual import Dual, slope_of
from gradagree.arithmetic.model import FORMULA, OWN
from gradagree.cases.regimes import Source, drawn_targets
from gradagree.checker.allowances import finite_or_zero, second_derivative
from gradagree.checker.derivative_forms import ad_vjp
from gradagree.checker.kink_search import prove_kinks, prove_loss_kinks
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.contract import file_of, line_in
from gradagree.reference.samples import allowed_width, to_domain

POINTS = 64
BITS = 256
WIDTHS = (*range(6, 16), *range(1, 6))
ROWS = 4
USE_NUMPY = "write it with NumPy's functions on whole arrays, such as np.tanh and np.where"
HINTS = {
    "truth value of an array": "write np.where(condition, this, that) in place of if, and np.maximum in place of max",
    "converted to Python scalars": f"{USE_NUMPY}, not math's",
    "converted to a scalar": USE_NUMPY,
    "setting an array element": USE_NUMPY,
    "float() argument": USE_NUMPY,
    "read-only": USE_NUMPY,
    "item assignment": USE_NUMPY,
}
"""Hints by exception message, for formulas that only work on single numbers."""


def prove_derivatives(function: Activation | ErrorFunction) -> None:
    """Prove that a function's derivatives match its value and that its kinks are listed.

    Raises:
        UsageError: they differ at a point; the message has the point, the derivative and the exact derivative of value
            there. Or a kink is unlisted, or a formula fails, has the wrong shape or cannot be pickled.
    """
    try:
        with np.errstate(all="ignore"):
            _prove_activation(function) if isinstance(function, Activation) else _prove_loss(function)
    except UsageError:
        raise
    except Exception as wrong:
        raise UsageError(f"{function}: {_explain(wrong, type(function))}") from wrong


def _prove_activation(activation: Activation) -> None:
    if activation.along_last_axis:
        p = _prove_vjp(activation, _points(activation))
        for name in activation.own_weights:
            with precision(BITS):
                _prove_parameter_gradient(activation, name, p, Ball.exact(p))
        _check_pickle(activation)
        return
    p = _points(activation)
    for name in ("value", "derivative"):
        _check_shape(activation, name, getattr(activation, name)(p), p)
    _check_numbers(activation, p)
    scale = finite_or_zero(np.abs(activation.derivative(p)) + np.abs(p * second_derivative(activation, p)))
    with precision(BITS):
        balls = Ball.exact(p)
        claimed, dual = balls._lift(activation.derivative(balls)), activation.value(Dual.variable(balls))
        if isinstance(dual, np.ndarray):
            raise UsageError(f"{activation}: value returns an array of single numbers: {USE_NUMPY}, not entry by entry")
        _compare(activation, "derivative", "p", p, claimed, balls._lift(slope_of(dual)), scale)
        for name in activation.own_weights:
            _prove_parameter_gradient(activation, name, p, balls)
    _check_pickle(activation)
    prove_kinks(activation)


def _prove_parameter_gradient(activation: Activation, name: str, p: np.ndarray, balls: Ball) -> None:
    """dA/da against the derivative of A by dual numbers in a."""
    _check_shape(activation, f"by_{name}", activation.by(name, p), p)
    numbers = np.asarray(getattr(activation, name), dtype=np.float64)
    parameter = Dual(Ball.exact(numbers), Ball.exact(np.ones(numbers.shape)))
    true = balls._lift(slope_of(activation.holding(**{name: parameter}).value(balls))).ravel()
    claimed, scale = balls._lift(activation.by(name, balls)).ravel(), np.abs(activation.by(name, p)) + np.abs(p)
    _compare(activation, f"by_{name}", "p", p.ravel(), claimed, true, scale.ravel())


def _prove_loss(error: ErrorFunction) -> None:
    """dE/do of one small batch, entry by entry, against the derivative of E in that direction."""
    o, t = sample_batch(error)
    claimed_plain = error.sensitivity(o, t)
    _check_shape(error, "sensitivity", claimed_plain, o)
    _check_sums(error, o, t)
    with precision(BITS):
        balls = Ball.exact(o)
        targets = t if error.targets == "classes" else Ball.exact(t)
        claimed = balls._lift(error.sensitivity(balls, targets)).balls.ravel()
        slopes = []
        for entry in range(o.size):
            along = np.zeros(o.size)
            along[entry] = 1.0
            found = slope_of(error.value(Dual(balls, balls._lift(along.reshape(o.shape))), targets))
            slopes.append(balls._lift(found).balls[()])
        scale = np.full(o.size, np.max(np.abs(claimed_plain)))
        _compare(error, "sensitivity", "o", o.ravel(), Ball(claimed), Ball(np.array(slopes, dtype=object)), scale)
    _check_pickle(error)
    prove_loss_kinks(error, o, t)


def _prove_vjp(activation: Activation, points: np.ndarray) -> np.ndarray:
    """The inputs p of the proof; raises UsageError where vjp is not the transposed Jacobian of value."""
    n, outputs = _widths(activation)
    p = points[: ROWS * n].reshape(-1, n)
    delta_a = np.resize(points[::-1], (len(p), outputs))
    value, delta_p = activation.value(p), activation.vjp(p, delta_a)
    for name, shape, expected in (("value", value.shape, delta_a.shape), ("vjp", delta_p.shape, p.shape)):
        if shape != expected:
            raise UsageError(f"{activation}: {name} returns shape {shape} for {n} numbers; it must be {expected}")
    with precision(BITS):
        balls, delta = Ball.exact(p), Ball.exact(delta_a)
        true = balls._lift(ad_vjp(activation, balls, delta))
        claimed = balls._lift(activation.vjp(balls, delta))
        size = np.max(np.abs(delta_p), axis=-1, keepdims=True) + np.max(np.abs(delta_a), axis=-1, keepdims=True) / n
        scale = np.broadcast_to(size, p.shape).ravel()
        _compare(activation, "vjp", "p", p.ravel(), claimed.reshape(-1), true.reshape(-1), scale)
    return p


def _widths(activation: Activation) -> tuple[int, int]:
    """An allowed number of inputs, and the number of outputs for it."""
    lengths = tuple(len(x) for x in vars(activation).values() if isinstance(x, tuple))
    for n in (*lengths, *WIDTHS):
        if n and (outputs := activation.width(n)):
            return n, outputs
    raise UsageError(f"{activation}: width accepts no number of inputs from 1 to {max(WIDTHS)}")


def _compare(
    function: Any, name: str, variable: str, x: np.ndarray, claimed: Ball, true: Ball, scale: np.ndarray
) -> None:
    """Raises UsageError at the first point that differs by more than constants rounded to float64 explain."""
    gap = abs(claimed - true)
    allowed = FORMULA * OWN * scale
    for i in range(x.size):
        distance = gap.balls[i]
        if true.balls[i].is_finite() and not claimed.balls[i].is_finite():
            raise UsageError(
                f"{function}: {name} is not finite at {variable} = {float(x[i])!r}, where the derivative of value is "
                f"{float(true.middle[i])!r}; correct {name}"
            )
        if distance.is_finite() and float(distance.lower()) > allowed[i]:
            raise UsageError(
                f"{function}: {name} does not match value: at {variable} = {float(x[i])!r} it gives "
                f"{float(claimed.middle[i])!r}, but the derivative of value is {float(true.middle[i])!r} (proved); "
                f"correct {name}, or value"
            )


def _explain(wrong: Exception, kind: type) -> str:
    """The message for an exception in a formula: its line, if the class is from a file, and what to write instead."""
    file = file_of(kind)
    where = "" if file is None else line_in(wrong, Path(file))
    first = str(wrong).partition("\n")[0]
    hint = next((f"; {hint}" for part, hint in HINTS.items() if part in first), "")
    return f"{type(wrong).__name__} in its formula{where}: {first}{hint}"


def _points(activation: Activation) -> np.ndarray:
    """Points near and far on both sides, none on a kink."""
    source = Source(f"points {activation}")
    p = np.concatenate([source.dyadic((POINTS // 2,), 20, e) for e in (1, 4)])
    p = np.abs(p) if activation.domain == "positive" else p
    return p[~np.isin(p, activation.kinks)]


def sample_batch(error: ErrorFunction, batch: int = 3, outputs: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A small batch of outputs inside the loss's domain, and targets of its kind."""
    outputs = allowed_width(error, outputs)
    source = Source(f"examples {error}")
    o = to_domain(error.domain, source.dyadic((batch, outputs), 20, 1))
    shape = (batch,) if error.targets == "classes" else (batch, error.width(outputs) or 0)
    return o, drawn_targets(error.targets, shape, outputs, source, lambda: source.dyadic(shape, 20, 1))


def _check_shape(function: Any, name: str, found: Any, given: np.ndarray) -> None:
    if not hasattr(found, "shape") and not np.isscalar(found):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise UsageError(f"{function}: {name} returns {what}, not an array: end it with `return` and the formula")
    if np.shape(found) != given.shape:
        variable = "p" if isinstance(function, Activation) else "o"
        constant = f"; a constant is 1.0 * np.ones_like({variable})"
        raise UsageError(
            f"{function}: {name} returns shape {np.shape(found)} for an array of shape {given.shape}; "
            f"it must work entry by entry on arrays of any shape{constant if np.shape(found) == () else ''}"
        )


def _check_numbers(activation: Activation, p: np.ndarray) -> None:
    for x in p[np.isnan(activation.value(p))]:
        raise UsageError(
            f"{activation}: value is NaN at p = {float(x)!r}: correct value, or set the domain of p, "
            'for example domain = "positive"'
        )


def _check_sums(error: ErrorFunction, o: np.ndarray, t: np.ndarray) -> None:
    """The value must be one number for one network, and two for two networks."""
    for networks in ((), (2,)):
        outputs, targets = (np.broadcast_to(x, (*networks, *x.shape)) for x in (o, t))
        if np.shape(found := error.value(outputs, targets)) != networks:
            raise UsageError(
                f"{error}: value has shape {np.shape(found)} for outputs of shape {outputs.shape}; "
                "it must sum over the last two axes: np.sum(..., axis=(-2, -1))"
            )


def _check_pickle(function: Any) -> None:
    try:
        same = pickle.loads(pickle.dumps(function)) == function
    except Exception as wrong:
        raise UsageError(
            f"{function} cannot be sent to another process: write its class at the left margin of its file, with "
            f"parameters that are numbers, texts or tuples of numbers ({wrong})"
        ) from wrong
    if not same:
        raise UsageError(f"{function}: a copy sent to another process is not equal to it")
