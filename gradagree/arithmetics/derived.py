"""Elementwise functions written in terms of others, shared by all arithmetics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special

from gradagree.arithmetics.duck import Duck

LOG_2, LOG_10 = float(np.log(2)), float(np.log(10))


def clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def floor_divide(x: Any, y: Any) -> Any:
    """The largest integer not greater than x / y."""
    return np.floor(x / y)


def remainder(x: Any, y: Any) -> Any:
    return x - np.floor(x / y) * y


def round_decimals(x: Any, decimals: int = 0) -> Any:
    return np.rint(x * 10.0**decimals) / 10.0**decimals if decimals else np.rint(x)


def nan_to_num(x: Any, **_: Any) -> Any:
    """x where it is certainly finite, NaN (unknown) elsewhere."""
    return np.where(np.isfinite(x), x, np.nan)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0.0) -> Any:
    """The choice of the first condition that is true."""
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        default = np.where(condition, choice, default)
    return default


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
    """The function of the last condition that is true; an extra function applies where none is."""
    conditions = condlist if isinstance(condlist, list | tuple) else [condlist]
    values = [f(x, *args, **kwargs) if callable(f) else f for f in funclist]
    answer = values.pop() if len(values) == len(conditions) + 1 else 0.0
    for condition, value in zip(conditions, values, strict=True):
        answer = np.where(condition, value, answer)
    return answer


def polyval(p: Any, x: Any) -> Any:
    """Horner's rule."""
    answer = 0.0 * x
    for coefficient in p:
        answer = answer * x + coefficient
    return answer


def where_defined(condition: Any, x: Any, outside: float) -> Any:
    """x where the SciPy function is defined, its limit elsewhere."""
    return np.where(condition, x, outside)


def rel_entr(x: Any, y: Any) -> Any:
    """x log x - x log y, as frameworks compute it; loses digits where x is near y."""
    defined = ((x > 0) & (y > 0)) | ((x == 0) & (y >= 0))
    return where_defined(defined, special.xlogy(x, x) - special.xlogy(x, y), np.inf)


def huber(delta: Any, r: Any) -> Any:
    """r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2)."""
    size = np.abs(r)
    return np.where(delta < 0, np.inf, np.where(size <= delta, 0.5 * r**2, delta * (size - 0.5 * delta)))


def pseudo_huber(delta: Any, r: Any) -> Any:
    """delta^2 (sqrt(1 + (r / delta)^2) - 1)."""
    return np.where(delta < 0, np.inf, delta**2 * np.expm1(0.5 * np.log1p((r / delta) ** 2)))


def power_transform(log: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """(x^lambda - 1) / lambda, and log x where lambda is zero."""

    def rule(x: Any, lmbda: Any) -> Any:
        return np.where(lmbda == 0, log(x), np.expm1(lmbda * log(x)) / np.where(lmbda == 0, 1.0, lmbda))

    return rule


Duck.derived.update({
    np.clip: clip, np.floor_divide: floor_divide, np.remainder: remainder,
    np.fmod: lambda x, y: x - np.trunc(x / y) * y,
    np.divmod: lambda x, y: (np.floor_divide(x, y), np.remainder(x, y)),
    np.round: round_decimals, np.around: round_decimals, np.nan_to_num: nan_to_num, np.select: select,
    np.piecewise: piecewise, np.polyval: polyval,
    np.deg2rad: lambda x: x / 180 * np.pi, np.rad2deg: lambda x: x / np.pi * 180,
    np.copysign: lambda x, y: np.where(np.signbit(y), -np.abs(x), np.abs(x)),
    np.heaviside: lambda x, h: np.where(x == 0, h, np.where(x < 0, 0.0, 1.0)),
    np.logaddexp2: lambda x, y: np.logaddexp(x * LOG_2, y * LOG_2) / LOG_2,
    special.exp10: lambda x: np.exp(x * LOG_10),
    special.xlogy: lambda x, y: np.where(x == 0, 0.0, x * np.log(y)),
    special.xlog1py: lambda x, y: np.where(x == 0, 0.0, x * np.log1p(y)),
    special.entr: lambda x: where_defined(x >= 0, -special.xlogy(x, x), -np.inf),
    special.rel_entr: rel_entr, special.kl_div: lambda x, y: special.rel_entr(x, y) - x + y,
    special.huber: huber, special.pseudo_huber: pseudo_huber,
    special.boxcox: power_transform(np.log), special.boxcox1p: power_transform(np.log1p),
})  # fmt: skip
