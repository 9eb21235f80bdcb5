"""The page on JAX's functions: python -m benchmarks.jax_page [RESULT] > docs/jax-functions.md

RESULT is a file of ``benchmarks.jax_functions --out``, by default reports/jax_functions.json.
"""

from __future__ import annotations

import collections
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.jax_arguments import NOT_DIFFERENTIABLE
from benchmarks.op_db_page import FAILING, account, overview, row

RESULT = Path(__file__).parents[1] / "reports" / "jax_functions.json"
OPEN = ("undecided", "out-of-range", "unsupported")
"""Verdicts that judge nothing."""
NOT_IN_THIS_DTYPE = ("the function cannot be called", "takes integers", "no arguments are known")
"""Beginnings of the reasons of JAX itself, which has no form of a function for a dtype."""
HEADER = """# JAX's own functions

Every public function of `jax.lax`, `jax.nn`, `jax.numpy` and `jax.scipy`, judged from its forward pass alone: no
reference is given and no tolerance is chosen. Arguments are random numbers that fit the signature, or a line of a
table. Measured with `python -m benchmarks.jax_functions --out reports/jax_functions.json`; this page is
`python -m benchmarks.jax_page > docs/jax-functions.md`.
"""
FINDINGS: dict[str, str] = {
    "scipy.special.bessel_jn": (
        "the float32 gradient is wrong for x below 10, and NaN below 3: with `v=2` it is -4.88 at x = 4, where the "
        "derivative of J2 is -0.2481, as JAX finds in float64. The recurrence grows beyond what float32 holds, and its "
        "derivative loses all digits."
    ),
    "scipy.special.betaln": (
        "the gradient is NaN for some negative arguments, where the value is right: at (-0.5, 0.25) it should be "
        "digamma(-0.5) - digamma(-0.25) = -2.8776. A branch that is not taken makes the NaN."
    ),
    "scipy.special.expn": (
        "the gradient of the integral of order 0 is NaN, for `expn(0, x)` with any x, where the value is right: it is "
        "taken from the order -1, which JAX does not know. The order judged in the table is 2."
    ),
    "scipy.special.wofz": (
        "in float64 the gradient 2i / sqrt(pi) - 2 z w(z) has relative errors up to 1e-10 (at z = -21.26): the two "
        "terms cancel for large z, and w has errors of 3e-13."
    ),
    "scipy.stats.gumbel_l.ppf": "`jax.grad` raises a TypeError about float0, although the value is right.",
    "scipy.stats.gumbel_r.ppf": "`jax.grad` raises a TypeError about float0, although the value is right.",
}
"""What is wrong in JAX, for the functions that are accused; for others, where JAX is wrong as well."""


def page(result: Mapping[str, Any]) -> str:
    """The whole page, in Markdown."""
    functions = result["functions"]
    groups = {
        kind: {n: r for n, r in functions.items() if kind_of(r) == kind} for kind in ("judged", "open", "refused")
    }
    none = collections.Counter(reason_of(r) for r in functions.values() if kind_of(r) == "none")
    differentiable = sum(map(len, groups.values()))
    table = overview({n: as_operation(r) for n, r in groups["judged"].items()}, "")
    first = next(k for k, line in enumerate(table) if line.startswith("|"))
    account_of_all = (
        f"jax {result['versions']['jax']}: {len(functions)} functions, {differentiable} of them differentiable; "
        f"{len(groups['judged'])} of these are judged in at least one dtype; {len(groups['open'])} undecided and "
        f"{len(groups['refused'])} refused."
    )
    lines = [
        HEADER, account_of_all, "", *table[first:], "", "## Accused", "",
        *accusations(functions), "", "## Not judged", "",
        *(f"- `{n}`: {reason_of(r)}" for n, r in sorted((groups["open"] | groups["refused"]).items())), "",
        "Without a derivative: " + "; ".join(f"{n} {reason}" for reason, n in none.most_common()) + ".", "",
        "## Every function", "", "| function | account | verdicts | relative tolerance |", "| --- | --- | --- | --- |",
        *(row(n, as_operation(r)) for n, r in sorted(groups["judged"].items())),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def kind_of(result: Mapping[str, Any]) -> str:
    """``judged`` in some dtype, ``open`` in all, ``refused``, or ``none`` for a function without a derivative."""
    verdicts = [one["verdict"] for one in result.values() if "verdict" in one]
    if verdicts:
        return "open" if all(v in OPEN for v in verdicts) else "judged"
    return "none" if any(one["refused"] in NOT_DIFFERENTIABLE for one in result.values()) else "refused"


def reason_of(result: Mapping[str, Any]) -> str:
    """The reason of a function that is not judged: the verdicts, or the most frequent refusal."""
    verdicts = sorted({one["verdict"] for one in result.values() if "verdict" in one})
    if verdicts:
        return " and ".join(verdicts)
    none = [one["refused"] for one in result.values() if one["refused"] in NOT_DIFFERENTIABLE]
    if none:
        return none[0]
    own = any(not one["refused"].startswith(NOT_IN_THIS_DTYPE) for one in result.values())
    return account(as_operation(result, whole=not own)).removeprefix("not covered: ")


def as_operation(result: Mapping[str, Any], whole: bool = False) -> dict[str, Any]:
    """The result of a function as one of PyTorch's corpus with one sample; without dtypes that JAX does not take."""
    found = {}
    for dtype, one in result.items():
        refused = one.get("refused")
        if refused is not None and not whole and refused.startswith(NOT_IN_THIS_DTYPE):
            continue
        settled = refused is None and one["verdict"] not in OPEN
        reasons = {} if settled else {refused or one["verdict"]: 1}
        found[dtype] = {
            "samples": 1, "judged": int(settled), "verdicts": {one["verdict"]: 1} if refused is None else {},
            "sharpness": one.get("sharpness") if settled else None, "refused": reasons,
        }  # fmt: skip
    return found


def accusations(functions: Mapping[str, Any]) -> list[str]:
    """What is known of each accused function; the figures of the others."""
    lines = []
    for name, result in sorted(functions.items()):
        dtypes = [dtype for dtype, one in result.items() if one.get("verdict") in FAILING]
        if name in FINDINGS and not dtypes:
            here = "undecided here" if kind_of(result) == "open" else "for other arguments"
            lines.append(f"- `{name}` ({here}): {FINDINGS[name]}")
        if dtypes:
            worst = result[dtypes[0]]["failures"][0]
            known = FINDINGS.get(name) or (
                f"{worst['verdict']}: {worst['name']}, expected {worst['expected']}, observed {worst['observed']}"
            )
            lines.append(f"- `{name}` ({', '.join(dtypes)}): {known}")
    return lines or ["None."]


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else RESULT).read_text())), end="")
