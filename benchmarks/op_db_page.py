"""The page on PyTorch's corpus: python -m benchmarks.op_db_page [RESULT] > docs/op-db.md

RESULT is a file of ``benchmarks.op_db --out``, by default reports/op_db.json.
"""

from __future__ import annotations

import collections
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.op_db import DTYPES, judged, partly_judged

RESULT = Path(__file__).parents[1] / "reports" / "op_db.json"
LONGEST_REASON = 110
FAILING = ("crashed", "value-differs", "nonfinite", "disagree", "suspect")
HEADER = """# PyTorch's own corpus

Every differentiable record of PyTorch's `op_db`, with PyTorch's own test inputs, judged from its forward pass alone:
no reference is given and no tolerance is chosen. Measured with
`python -m benchmarks.op_db --out reports/op_db.json`; this page is `python -m benchmarks.op_db_page > docs/op-db.md`.
"""


def page(result: Mapping[str, Any]) -> str:
    """The whole page, in Markdown."""
    operations = result["operations"]
    lines = [HEADER, *overview(operations, result["versions"]["torch"]), "", "## Every operation", ""]
    lines += ["An operation is `covered` if all its sample inputs were judged in all dtypes that were run.", ""]
    lines += ["| operation | account | verdicts | relative tolerance |", "| --- | --- | --- | --- |"]
    lines += [row(name, one) for name, one in sorted(operations.items())]
    return "\n".join(lines) + "\n"


def overview(operations: Mapping[str, Any], version: str) -> list[str]:
    """How many operations are judged, and how sharply, by dtype."""
    whole, part = (sum(map(f, operations.values())) for f in (judged, partly_judged))
    lines = [
        f"torch {version}: {len(operations)} operations, {whole} judged on all samples, {part} on some in each dtype.",
        "", "| dtype | operations | samples | judged samples | failing | median relative tolerance |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for dtype in DTYPES:
        ones = [one[dtype] for one in operations.values() if dtype in one]
        if ones:
            sharp = sorted(one["sharpness"] for one in ones if one["sharpness"] is not None)
            samples, compared = (sum(one[key] for one in ones) for key in ("samples", "judged"))
            failing = sum(one["verdicts"].get(v, 0) for one in ones for v in FAILING)
            median = f"{sharp[len(sharp) // 2]:.1e}" if sharp else ""
            lines.append(f"| {dtype} | {len(ones)} | {samples} | {compared} | {failing} | {median} |")
    return lines


def row(name: str, result: Mapping[str, Any]) -> str:
    counts: collections.Counter[str] = collections.Counter()
    for one in result.values():
        counts.update(one["verdicts"])
    verdicts = ", ".join(f"{v} {n}" for v, n in counts.most_common())
    sharp = ", ".join(f"{d} {one['sharpness']:.1e}" for d, one in result.items() if one["sharpness"] is not None)
    return f"| `{name}` | {account(result)} | {verdicts} | {sharp} |"


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
    return ("partly covered: " if partly_judged(result) else "not covered: ") + reason


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else RESULT).read_text())), end="")
