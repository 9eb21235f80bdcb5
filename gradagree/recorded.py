"""What a record says of the comparisons behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradagree.adapters import Answer
from gradagree.cases import Case
from gradagree.checker.kinks import OWN, SLOPES
from gradagree.comparison import ERROR_BOX, Comparison
from gradagree.truth import Enclosure
from gradagree.verdict import ORDER, Verdict, hexadecimal, number


def sharpness(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    checked = [c for c in comparisons if c.is_gradient] or list(comparisons)
    entries = sum(c.entries for c in checked)
    return {
        "sharpness": number(max(c.sharpness for c in checked)),
        "share": sum(c.sharp for c in checked) / entries if entries else 0.0,
        "ratio": number(max(c.ratio for c in comparisons)),
    }


def worst(case: Case, comparisons: Sequence[Comparison], found: Comparison, proof: Enclosure | None) -> dict[str, Any]:
    """The worst comparison; where it is a finding, what is expected there is proved."""
    expected, radius = (found.expected, None) if proof is None else (proof.value, proof.radius)
    same = [c for c in comparisons if c.verdict is found.verdict and c.reason]
    reasons = [f"{function_name(case, c.box)}: {c.reason}" for c in same]
    proved = {"expected": hexadecimal(expected), "expected_radius": hexadecimal(radius)}
    return {"verdict": found.verdict, **told(case, found), **proved, "reason": "; ".join(dict.fromkeys(reasons))}


def slopes_of(case: Case, comparisons: Sequence[Comparison]) -> dict[str, list[str]]:
    """For each kink, the slopes that explain every box with that function, unless all do."""
    found: dict[str, set[str]] = {}
    for c in comparisons:
        for name, slopes in c.slopes.items():
            place = f"{function_name(case, c.box)}: {name}"
            found[place] = found.get(place, {*SLOPES, OWN}) & slopes
    return {place: sorted(slopes) for place, slopes in found.items() if len(slopes) <= len(SLOPES)}


def untapped(case: Case, comparisons: Sequence[Comparison], tapped: Verdict) -> dict[str, Any]:
    """The gradient without taps differs in some bit from the one with taps, whose verdict is given: is it probable?"""
    found = max(comparisons, key=lambda c: c.ratio)
    if found.verdict is not Verdict.SUSPECT:
        return {"probable_ratio": number(found.ratio)}
    vague = tapped in (Verdict.UNDECIDED, Verdict.OUT_OF_RANGE)
    said = f"is {tapped.value} in the box check" if vague else "passes the box check"
    reason = f"only without taps: the same gradient with taps {said}"
    return {"verdict": Verdict.SUSPECT, "probable_ratio": number(found.ratio), **told(case, found), "reason": reason}


def without_taps(case: Case, comparisons: Sequence[Comparison], answer: Answer) -> dict[str, Any]:
    """The verdict on forward mode."""
    found = min(comparisons, key=lambda c: (ORDER[c.verdict], -c.ratio))
    how = f"along {len(answer.along)} directions" if answer.along else "every coordinate"
    reason = f"{how}, judged {found.reason or 'end to end by the probable tolerance'}"
    return {"verdict": found.verdict, "probable_ratio": number(found.ratio), **told(case, found), "reason": reason}


def told(case: Case, found: Comparison) -> dict[str, Any]:
    """Where it is, and the numbers."""
    return {
        "box": found.box, "function": function_name(case, found.box), "entry": found.entry,
        "expected": hexadecimal(found.expected), "expected_radius": None,
        "observed": hexadecimal(found.observed), "tolerance": hexadecimal(found.tolerance),
    }  # fmt: skip


def function_name(case: Case, box: int | str) -> str:
    """The activation of a box, or the error function, as canonical text."""
    return str(case.error if box == ERROR_BOX else case.activations[int(box) - 1])
