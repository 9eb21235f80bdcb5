"""The page on PyTorch's corpus: python -m benchmarks.op_db_page [RESULT] > docs/op-db.md

RESULT is a file of ``benchmarks.op_db --out``, by default reports/op_db.json.
"""

from __future__ import annotations

import collections
import fnmatch
import json
import math
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.op_db import COMPLEX, DTYPES, LIMIT, judged, partly_judged

RESULT = Path(__file__).parents[1] / "reports" / "op_db.json"
LONGEST_REASON = 110
FAILING = ("crashed", "value-differs", "nonfinite", "disagree", "suspect")
UNCLEAR = ("undecided", "out-of-range")
SHARP = {"float32": 1e-5, "bfloat16": 3e-2}
SHARP_COMPLEX = {"complex64": 1e-5}
"""For operations that take no real numbers."""
HEADER = """# PyTorch's own corpus

Every differentiable record of `op_db`, the corpus that drives PyTorch's own tests, with PyTorch's own test inputs, in
each dtype with a backward pass on the CPU. Each gradient is compared with that of the operation's own forward pass: no
reference is given, no tolerance is chosen, and none depends on the operation. Of each operation and dtype, {samples}
were run:

    python -m benchmarks.op_db {options}--out reports/op_db.json
    python -m benchmarks.op_db_page > docs/op-db.md

A sample that takes longer than {limit:g} s ends those of its dtype. The relative tolerance is the largest tolerance of
an array over its largest entry; the tables have the median over the gradients of all samples.
"""
TRIGAMMA = (
    "`polygamma(1, x)` in float64 has errors up to 4.9e-10 relative: its asymptotic series ends after three terms"
)
FINDINGS = {
    "as_strided_scatter": """the gradient of the input is that of the entries that were overwritten, and 0 for those
        that remain: for `as_strided_scatter(x, s, (2,), (1,), 1)` and cotangents (1, 2, 3, 4) it is (0, 2, 3, 0) in
        place of (1, 0, 0, 4). PyTorch marks its own gradient test as an expected failure""",
    "digamma": f"the derivative of digamma, {TRIGAMMA}",
    "*polygamma*": TRIGAMMA,
    "linalg_householder_product": """the backward pass undoes each reflection, dividing by 1 - tau v^T v, and loses
        digits: errors of 1e-5 relative in float32""",
    "*matrix_exp": """in bfloat16 and float16 the values are wrong for most matrices: infinity on the diagonal for
        ((1/16, 0), (0, 0)), and -1.3e30 for a matrix of four entries 1/2, in place of 1.86""",
    "nn_functional_hardsigmoid": "the backward pass in float64 multiplies by 1/6 rounded to float32",
    "*layer_norm": """over a single entry, the gradient of the weight is rounding noise in place of 0, and so is the
        value in bfloat16 (gradient 3.4e-5 for 3.3 in float32): x - mean(x) is computed as x r - mean(x) r, with
        r = 1 / sqrt(var + eps)""",
    "nn_functional_normalize": """for p = -1 in float16, the backward pass of the norm multiplies |x|^-2 by the
        cotangent before it multiplies by the norm squared: infinity in place of 626""",
    "masked_normalize": """for the norm of order -inf in float16, where its cotangent overflows, the backward pass
        multiplies infinity by 0 in the entries that are not the smallest: NaN in place of 98""",
    "nn_functional_max_unpool*": """where windows overlap, two entries may be written to one place; each is given the
        whole cotangent, so that the gradient of `max_unpool1d` after `max_pool1d` is 2 where the derivative is 1.
        PyTorch leaves these samples out of its gradient tests""",
    "*i0e": """in bfloat16, arrays shorter than a vector register are computed with bfloat16 intermediates: `i0e(0)` is
        0.9922 in an array of 1 entry and 1 in one of 64""",
}
"""What is known of each operation whose gradients or values failed; each was examined by hand."""


def page(result: Mapping[str, Any]) -> str:
    """The whole page, in Markdown."""
    operations = result["operations"]
    samples = result.get("samples")
    run = f"at most {samples} samples" if samples else "all samples"
    limit = result.get("limit", LIMIT)
    options = (f"--samples {samples} " if samples else "") + (f"--limit {limit:g} " if limit != LIMIT else "")
    lines = [HEADER.format(samples=run, options=options, limit=limit)]
    if note := result.get("note"):
        lines += [*textwrap.wrap(note, 118), ""]
    lines += [*overview(operations, result["versions"]["torch"]), "", *findings(operations), "", *gaps(operations), ""]
    lines += ["## Every operation", ""]
    lines += ["An operation is `covered` if all its sample inputs were judged in all dtypes that were run.", ""]
    lines += ["| operation | account | verdicts | relative tolerance |", "| --- | --- | --- | --- |"]
    lines += [row(name, one) for name, one in sorted(operations.items())]
    return "\n".join(lines) + "\n"


def overview(operations: Mapping[str, Any], version: str) -> list[str]:
    """How many operations are judged, and how sharply, by dtype."""
    whole, part, clear = (sum(map(f, operations.values())) for f in (judged, partly_judged, is_decided))
    sharp = [name for name, one in operations.items() if is_sharp(one)]
    lines = [
        f"torch {version}: {len(operations)} operations. {part} are judged in each of their dtypes, {whole} of them on",
        f"all samples that were run; {clear} have another verdict than `undecided` and `out-of-range` in each dtype.",
        f"For {len(sharp)}, the median relative tolerance is at most 1e-5 in float32 and 3e-2 in bfloat16, in those of",
        "the two that an operation has (1e-5 in complex64 if it takes no real numbers); the last column has the number",
        "for one dtype.",
        "",
        "| dtype | operations | samples | judged | undecided | failing | median relative tolerance | small tolerance |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for dtype in (*DTYPES, *COMPLEX):
        ones = [one[dtype] for one in operations.values() if dtype in one]
        if ones:
            known = sorted(unbounded(one["sharpness"]) for one in ones if one["sharpness"] is not None)
            samples, compared = (sum(one[key] for one in ones) for key in ("samples", "judged"))
            failing = sum(one["verdicts"].get(v, 0) for one in ones for v in FAILING)
            unclear = sum(one["verdicts"].get(v, 0) for one in ones for v in UNCLEAR)
            median = f"{known[len(known) // 2]:.1e}" if known else ""
            below = sum(x <= SHARP[dtype] for x in known) if dtype in SHARP else ""
            lines.append(
                f"| {dtype} | {len(ones)} | {samples} | {compared} | {unclear} | {failing} | {median} | {below} |"
            )
    return lines


def is_sharp(result: Mapping[str, Any]) -> bool:
    """True if an operation is judged, with a small median relative tolerance in float32 and bfloat16 if it has them."""
    known = SHARP if any(dtype in SHARP for dtype in result) else SHARP_COMPLEX
    limits = [(one["sharpness"], known[dtype]) for dtype, one in result.items() if dtype in known]
    return partly_judged(result) and bool(limits) and all(x is not None and x <= limit for x, limit in limits)


def is_decided(result: Mapping[str, Any]) -> bool:
    """True if at least one sample in each dtype agrees or fails."""
    return partly_judged(result) and all(set(one["verdicts"]) - set(UNCLEAR) for one in result.values())


def failing(result: Mapping[str, Any]) -> dict[str, int]:
    """The number of failing samples by dtype."""
    counts = {dtype: sum(one["verdicts"].get(v, 0) for v in FAILING) for dtype, one in result.items()}
    return {dtype: n for dtype, n in counts.items() if n}


def explanation(name: str) -> str | None:
    found = (text for pattern, text in FINDINGS.items() if fnmatch.fnmatch(name, pattern))
    return next((" ".join(text.split()) for text in found), None)


def findings(operations: Mapping[str, Any]) -> list[str]:
    """The failing operations, with what is known of them."""
    lines = [
        "## Findings",
        "",
        "In each, PyTorch is wrong. Causes are inferred from the numbers, not read in its compiled source.",
        "",
    ]
    lines += ["| operation | failing samples | finding |", "| --- | --- | --- |"]
    for name, one in sorted(operations.items()):
        if counts := failing(one):
            where = ", ".join(f"{dtype} {n} of {one[dtype]['judged']}" for dtype, n in counts.items())
            lines.append(f"| `{name}` | {where} | {explanation(name) or 'not examined yet'} |")
    return lines


def gaps(operations: Mapping[str, Any]) -> list[str]:
    """The operations that are not judged, or in part only, by their reason."""
    reasons = collections.defaultdict(list)
    for name, one in sorted(operations.items()):
        if not judged(one):
            reasons[account(one)].append(name)
    lines = ["## What is not judged", "", "| account | operations |", "| --- | --- |"]
    ordered = sorted(reasons.items(), key=lambda pair: (pair[0].startswith("partly"), -len(pair[1]), pair[0]))
    return lines + [f"| {reason} | {', '.join(f'`{name}`' for name in names)} |" for reason, names in ordered]


def row(name: str, result: Mapping[str, Any]) -> str:
    counts: collections.Counter[str] = collections.Counter()
    for one in result.values():
        counts.update(one["verdicts"])
    verdicts = ", ".join(f"{v} {n}" for v, n in counts.most_common())
    sharp = ", ".join(f"{d} {number(one['sharpness'])}" for d, one in result.items() if one["sharpness"] is not None)
    return f"| `{name}` | {account(result).partition(':')[0]} | {verdicts} | {sharp} |"


def unbounded(x: float) -> float:
    """A relative tolerance; infinity for one that is not a number, which has no place in an order."""
    return math.inf if math.isnan(x) else x


def number(x: float) -> str:
    return f"{x:.1e}" if math.isfinite(x) else "unbounded"


def account(result: Mapping[str, Any]) -> str:
    """``covered``, or ``not covered:`` with the most frequent reason."""
    if judged(result):
        return "covered"
    reasons: collections.Counter[str] = collections.Counter()
    for one in result.values():
        reasons.update(one["refused"])
    if not reasons:
        return "not covered: no backward pass in the dtypes that were run"
    reason = reasons.most_common(1)[0][0].partition("; give")[0].partition(" (called at")[0].replace("|", "\\|")
    reason = reason if len(reason) <= LONGEST_REASON else reason[:LONGEST_REASON] + "…"
    return ("partly covered: " if any(one["judged"] for one in result.values()) else "not covered: ") + reason


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else RESULT).read_text())), end="")
