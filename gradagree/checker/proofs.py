"""Proofs in ball arithmetic, before any framework runs: each derivative matches its value, and all kinks are listed."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradagree.arithmetic.ball import Ball, lift, precision
from gradagree.arithmetic.dual import Dual, tangent_of
from gradagree.arithmetic.model import FORMULA, OWN
from gradagree.cases.regimes import Source, draw_targets
from gradagree.checker.conditioning import finite_or_zero
from gradagree.checker.derivative_forms import ad_vjp
from gradagree.checker.kink_search import exact_targets, prove_kinks, prove_loss_kinks
from gradagree.checker.point_proofs import prove_listed_kinks, prove_loss_at_ties, prove_meeting_points
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.activations.rows import log_sum_exp
from gradagree.reference.contract import Operation
from gradagree.reference.parameters import file_of, line_in
from gradagree.reference.samples import allowed_width, to_domain

POINTS = 64
BITS = 256
FAR = np.outer(
    np.ldexp(1.0, [*range(4, 18), 24, 31, 62, 100, 126, 500, 1000]), [1.0703125, 1.3671875, 1.7265625]
).ravel()
"""Magnitudes of far points, up to the ends of the dtypes; no function bends at them."""
NEAR_END = np.ldexp(1.0, -np.array([3, 6, 10, 14, 20, 24, 40, 60, 100, 126, 500, 1000]))
"""Distances from the ends of an interval of probabilities."""
LEAST_LOGARITHM = -600.0
"""Of probabilities far out, which float64 holds."""
FAR_SCALES = np.ldexp(1.0, [1, 2, 3, 5, 8, 12])
"""Factors of the points at which functions of rows and losses are evaluated far out."""
FAR_SLACK, FAR_LEAST = 2.0**-16, 1e-300
"""Relative to the largest derivative; rounded constants explain no larger difference. And the least that counts."""
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


@dataclass(frozen=True)
class DerivativeFormula:
    """A formula that a function defines for a derivative of its value, and the same derivative by dual numbers.

    x holds the points; stated and by_dual map balls of them to the derivative, and scale to the size of which a few
    units in the last place of float64 may be lost to rounded constants: that of the derivative, and its change for a
    relative change of x. It is a ball too, since in float64 it may cancel to 0 where the derivative does not.
    """

    name: str
    variable: str
    x: np.ndarray
    stated: Callable[[Ball], Any]
    by_dual: Callable[[Ball], Any]
    scale: Callable[[Ball], Any]


PROVERS: dict[type, Callable[[Any], None]] = {}
"""What proves the derivatives of other kinds of operations, by their class; it raises UsageError."""


def prove_derivatives(function: Operation) -> None:
    """Prove that a function's derivatives match its value and that its kinks are listed.

    Args:
        function: An activation, an error function, or an operation of a kind in `PROVERS`.

    Raises:
        UsageError: they differ at a point; the message has the point, the derivative and the exact derivative of value
            there. Or a kink is unlisted, or a formula fails, has the wrong shape or cannot be pickled.
    """
    for kind, prove in PROVERS.items():
        if isinstance(function, kind):
            return prove(function)
    assert isinstance(function, Activation | ErrorFunction)
    try:
        with np.errstate(all="ignore"):
            for formula in derivative_formulas(function):
                prove_formula(function, formula)
                prove_far_out(function, formula)
            _check_pickle(function)
            if isinstance(function, ErrorFunction):
                prove_loss_kinks(function, *sample_batch(function))
                prove_loss_at_ties(function)
            elif not function.along_last_axis:
                prove_kinks(function)
                prove_listed_kinks(function)
                prove_meeting_points(function)
    except UsageError:
        raise
    except Exception as wrong:
        raise UsageError(f"{function}: {_explain(wrong, type(function))}") from wrong


def prove_formula(function: Activation | ErrorFunction, formula: DerivativeFormula) -> None:
    """Raises UsageError at the first point that differs by more than constants rounded to float64 explain."""
    x, name = formula.x.ravel(), formula.name
    with precision(BITS):
        balls = Ball.exact(formula.x)
        scale = np.broadcast_to(largest(lift(formula.scale(balls))), formula.x.shape).ravel()
        stated, exact = (
            Ball(np.broadcast_to(lift(derivative(balls)).balls, formula.x.shape).ravel())
            for derivative in (formula.stated, formula.by_dual)
        )
        distances = abs(stated - exact).balls
    for i, distance in enumerate(distances):
        if exact.balls[i].is_finite() and not stated.balls[i].is_finite():
            raise UsageError(
                f"{function}: {name} is not finite at {formula.variable} = {float(x[i])!r}, where the derivative of "
                f"value is {float(exact.middle[i])!r}; correct {name}"
            )
        if distance.is_finite() and float(distance.lower()) > FORMULA * OWN * scale[i]:
            raise UsageError(
                f"{function}: {name} does not match value: at {formula.variable} = {float(x[i])!r} it gives "
                f"{float(stated.middle[i])!r}, but the derivative of value is {float(exact.middle[i])!r} (proved); "
                f"correct {name}, or value"
            )


def prove_far_out(function: Activation | ErrorFunction, formula: DerivativeFormula) -> None:
    """Raises UsageError at the first point in the tails at which a derivative is another one than that of value.

    A point at which one of them is not finite in ball arithmetic says nothing.
    """
    for x in far_points(function, formula.x):
        with precision(BITS):
            balls = Ball.exact(x)
            stated, exact = (
                np.broadcast_to(lift(derivative(balls)).balls, x.shape).ravel()
                for derivative in (formula.stated, formula.by_dual)
            )
        sizes = [max(float(abs(a).upper()), float(abs(b).upper())) for a, b in zip(stated, exact, strict=True)]
        if not (isinstance(function, Activation) and not function.along_last_axis):
            sizes = [max(sizes)] * len(sizes)
        for i, size in enumerate(sizes):
            distance = abs(stated[i] - exact[i])
            if distance.is_finite() and float(distance.lower()) > max(FAR_SLACK * size, FAR_LEAST):
                raise UsageError(
                    f"{function}: {formula.name} does not match value: at {formula.variable} = {float(x.ravel()[i])!r} "
                    f"it gives {float(stated[i].mid())!r}, but the derivative of value is {float(exact[i].mid())!r} "
                    f"(proved); correct {formula.name}, or value"
                )


def far_points(function: Activation | ErrorFunction, x: np.ndarray) -> Iterator[np.ndarray]:
    """Points far out in the domain of the function: far from 0, or near the ends of probabilities."""
    if isinstance(function, ErrorFunction) or function.along_last_axis:
        yield from (_far_out(function.domain, x, scale) for scale in FAR_SCALES)
    elif function.domain in ("real", "positive"):
        yield FAR if function.domain == "positive" else np.concatenate([FAR, -FAR])
    elif function.domain == "unit":
        yield np.concatenate([NEAR_END, 1 - NEAR_END[NEAR_END > 2.0**-50]])


def _far_out(domain: str, x: np.ndarray, scale: float) -> np.ndarray:
    """Operands that are `scale` times as far out: real and positive numbers times it, probabilities to that power."""
    if domain in ("real", "positive"):
        return x * scale
    if domain == "unit":
        return np.where(x < 0.5, x**scale, 1 - (1 - x) ** min(scale, 8.0))
    logarithms = np.log(x) if domain == "simplex" else x
    far = np.maximum(scale * logarithms, LEAST_LOGARITHM)
    far = far - log_sum_exp(far)
    return np.exp(far) if domain == "simplex" else far


def derivative_formulas(function: Activation | ErrorFunction) -> Iterator[DerivativeFormula]:
    """All derivatives that a function defines; raises UsageError where one has the wrong shape or is NaN."""
    if isinstance(function, ErrorFunction):
        yield _loss_formula(function)
        return
    _check_widths(function)
    first = _vjp_formula(function) if function.along_last_axis else _elementwise_formula(function)
    yield first
    for name in function.parameter_names:
        yield _parameter_formula(function, name, first.x)


def _elementwise_formula(activation: Activation) -> DerivativeFormula:
    """A'(p) entry by entry."""
    p = _points(activation)
    for name in ("value", "derivative"):
        _check_shape(activation, name, getattr(activation, name)(p), p)
    _check_numbers(activation, p)

    def by_dual(balls: Ball) -> Any:
        dual = activation.value(Dual.variable(balls))
        if isinstance(dual, np.ndarray):
            raise UsageError(f"{activation}: value returns an array of single numbers: {USE_NUMPY}, not entry by entry")
        return tangent_of(dual)

    def scale(balls: Ball) -> Any:
        # |A'| + |p A''|
        dual = activation.derivative(Dual.variable(balls))
        return abs(lift(activation.derivative(balls))) + abs(balls * lift(tangent_of(dual)))

    return DerivativeFormula("derivative", "p", p, activation.derivative, by_dual, scale)


def _vjp_formula(activation: Activation) -> DerivativeFormula:
    """delta_p = J^T delta_a for a few rows p, with the Jacobian J of value."""
    n, outputs = _widths(activation)
    points = _points(activation)
    p = points[: ROWS * n].reshape(-1, n)
    p = to_domain(activation.domain, p) if activation.domain in ("simplex", "log_simplex") else p
    delta_a = np.resize(points[::-1], (len(p), outputs))
    value, delta_p = activation.value(p), activation.vjp(p, delta_a)
    for name, shape, expected in (("value", value.shape, delta_a.shape), ("vjp", delta_p.shape, p.shape)):
        if shape != expected:
            raise UsageError(f"{activation}: {name} returns shape {shape} for {n} numbers; it must be {expected}")
    delta = Ball.exact(delta_a)
    size = np.max(np.abs(delta_p), axis=-1, keepdims=True) + np.max(np.abs(delta_a), axis=-1, keepdims=True) / n
    return DerivativeFormula(
        name="vjp", variable="p", x=p,
        stated=lambda balls: activation.vjp(balls, delta), by_dual=lambda balls: ad_vjp(activation, balls, delta),
        scale=lambda _: size,
    )  # fmt: skip


def _parameter_formula(activation: Activation, name: str, p: np.ndarray) -> DerivativeFormula:
    """dA/da for a parameter a of an activation."""
    stated = activation.by(name, p)
    _check_shape(activation, f"by_{name}", stated, p)
    parameter = Dual.variable(Ball.exact(getattr(activation, name)))
    return DerivativeFormula(
        name=f"by_{name}", variable="p", x=p,
        stated=lambda balls: activation.by(name, balls),
        by_dual=lambda balls: tangent_of(activation.holding(**{name: parameter}).value(balls)),
        scale=lambda _: np.abs(stated) + np.abs(p),
    )  # fmt: skip


def _loss_formula(error: ErrorFunction) -> DerivativeFormula:
    """dE/do for a small batch; by dual numbers the derivative of E in the direction of each entry."""
    o, t = sample_batch(error)
    gradient = error.sensitivity(o, t)
    _check_shape(error, "sensitivity", gradient, o)
    _check_sums(error, o, t)
    targets = exact_targets(error, t)

    def by_dual(balls: Ball) -> Ball:
        units = np.eye(o.size).reshape(o.size, *o.shape)
        partials = [lift(tangent_of(error.value(Dual(balls, Ball.exact(unit)), targets))).balls[()] for unit in units]
        return Ball(np.array(partials, dtype=object).reshape(o.shape))

    def scale(balls: Ball) -> Any:
        # max_i |dE/do_i|, and its change along o
        change = lift(tangent_of(error.sensitivity(Dual(balls, balls), targets)))
        return max(np.max(np.abs(gradient)), np.max(largest(change), initial=0.0))

    return DerivativeFormula(
        name="sensitivity", variable="o", x=o,
        stated=lambda balls: error.sensitivity(balls, targets), by_dual=by_dual, scale=scale,
    )  # fmt: skip


def largest(x: Ball) -> np.ndarray:
    """The largest magnitude within each ball; 0 where a ball is not finite."""
    return finite_or_zero(np.abs(x.middle) + x.radius)


def _check_widths(activation: Activation) -> None:
    """Raises UsageError if width accepts a number of inputs for which a parameter has no entry."""
    for name in activation.parameter_names:
        count = len(np.atleast_1d(getattr(activation, name)))
        if activation.shared_along(name) == (-2,) and (activation.width(count + 1) or activation.width(2 * count)):
            raise UsageError(
                f"{activation}: {name} holds one number for each of {count} entries, but width accepts other numbers; "
                f"let width(n) return None unless n == len(self.{name})"
            )


def _widths(activation: Activation) -> tuple[int, int]:
    """An allowed number of inputs, and the number of outputs for it."""
    lengths = tuple(len(x) for x in vars(activation).values() if isinstance(x, tuple))
    for n in (*lengths, *WIDTHS):
        if n and (outputs := activation.width(n)):
            return n, outputs
    raise UsageError(f"{activation}: width accepts no number of inputs from 1 to {max(WIDTHS)}")


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
    if activation.domain in ("positive", "unit"):
        p = np.abs(p) if activation.domain == "positive" else to_domain("unit", p)
    return p[~np.isin(p, activation.kinks)]


def sample_batch(error: ErrorFunction, batch: int = 3, outputs: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A small batch of outputs inside the loss's domain, and targets of its kind."""
    outputs = allowed_width(error, outputs)
    source = Source(f"examples {error}")
    o = to_domain(error.domain, source.dyadic((batch, outputs), 20, 1))
    shape = (batch,) if error.targets == "classes" else (batch, error.width(outputs) or 0)
    return o, draw_targets(error.targets, shape, outputs, source, lambda: source.dyadic(shape, 20, 1))


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
