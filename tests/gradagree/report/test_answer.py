from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gradagree.checker.verdict import Record, Verdict
from gradagree.report import summarize


def records(**counts: int) -> list[Record]:
    """So many records of each verdict, by framework and mode: torch_backward_agree=3."""
    made = []
    for key, count in counts.items():
        framework, mode, verdict = key.split("_", 2)
        made += [one(framework, mode, Verdict(verdict.replace("_", "-")), k) for k in range(count)]
    return made


def one(framework: str, mode: str, verdict: Verdict, k: int) -> Record:
    version = {"torch": "2.13.0+cpu", "jax": "0.10.2"}[framework]
    compared: dict[str, Any] = (
        {"sharpness": 2.0**-40} if verdict.compared else {"reason": "not installed: pip install it"}
    )
    return Record(
        index=k, case="1", spec=f"2-1:id:sse:n1:f64:grid:s{k}", sha256="", framework=framework, version=version,
        mode=mode, dtype="float64", verdict=verdict, **compared,
    )  # fmt: skip


def sentence(meta: dict[str, Any] | None = None, **counts: int) -> str:
    return summarize(meta or {}, records(**counts)).sentence


SHARP = "; the median tolerance was 9e-13 (float64) of the largest entry"
AGREE = "agree with the reference on"


def test_that_agreement_names_versions_number_and_sharpness() -> None:
    said = sentence(torch_backward_agree=400, jax_jit_agree=200)
    assert said == f"torch 2.13.0 and jax 0.10.2 {AGREE} all 600 gradients{SHARP}."


def test_that_many_frameworks_are_named_in_part() -> None:
    (made,) = records(jax_jit_agree=1)
    many = [msgspec.structs.replace(made, framework=f"f{k}") for k in range(15)]
    assert "f10 0.10.2, f11 0.10.2 and 3 more agree with" in summarize({}, many).sentence


def test_that_one_framework_and_one_gradient_read_as_english() -> None:
    assert sentence(jax_jit_agree=1) == f"jax 0.10.2 agrees with the reference on 1 of 1 gradient{SHARP}."


def test_that_conventions_and_lost_digits_are_told_apart_from_what_is_open() -> None:
    counts = {"jax_jit_agree": 4, "jax_jit_convention": 3, "jax_jit_inaccurate": 2}
    said = sentence(**counts, jax_jit_undecided=5, jax_jit_out_of_range=6)
    assert "on 9 of 20 gradients, 3 with another admissible derivative at a kink and 2 inaccurate; " in said
    assert "; 6 out of range and 5 undecided; " in said


def test_that_a_failure_is_named_first_and_everything_adds_up() -> None:
    said = sentence(jax_jit_agree=2, jax_jit_disagree=3, torch_backward_agree=10, torch_backward_undecided=1)
    start = "jax jit disagrees with the reference in 3 of 16 gradients (3 disagree)"
    assert said == f"{start}; of the other 13, 12 agree and 1 undecided{SHARP}."


def test_that_several_failing_modes_come_worst_first() -> None:
    said = sentence(jax_jit_disagree=2, torch_grad_value_differs=3, torch_vmap_nonfinite=1, torch_compile_suspect=1)
    start = "torch grad (3), jax jit (2), torch vmap (1) and 1 more disagree with the reference in 7 of 7"
    assert said.startswith(f"{start} gradients (3 value-differs, 1 nonfinite, 2 disagree and 1 suspect)")


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("crashed", "jax jit crashed in 2 of 2 gradients (2 crashed)"),
        ("timeout", "jax jit exceeded its time limit in 2 of 2 gradients (2 timeout)"),
        ("suspect", "jax jit probably disagrees with the reference in 2 of 2 gradients (2 suspect)"),
    ],
)
def test_that_no_answer_is_not_called_disagreement(verdict: str, words: str) -> None:
    assert sentence(**{f"jax_jit_{verdict}": 2}).startswith(words)


def test_that_only_undecided_records_are_no_agreement() -> None:
    said = sentence(jax_jit_undecided=2, jax_jit_out_of_range=1)
    assert said.startswith("Nothing was decided: 3 gradients compared, 1 out of range and 2 undecided")


def test_that_absent_frameworks_are_no_agreement() -> None:
    said = sentence(jax_jit_absent=2, torch_grad_absent=1)
    assert said == "Nothing was compared in 3 records (jax and torch: not installed: pip install it)."


def test_that_no_records_are_no_agreement() -> None:
    assert sentence() == "Nothing was compared: there are no records."
    nowhere = {"frameworks": {"mx": {"installed": False, "reason": "not installed: pip install mx"}}}
    assert sentence(nowhere) == "Nothing was compared (mx: not installed: pip install mx)."


def test_that_an_interrupted_run_says_how_much_is_missing() -> None:
    said = sentence({"plan": {"jax:jit": 8, "torch:backward": 2}}, jax_jit_agree=5, torch_backward_agree=2)
    assert said.endswith("; the run is incomplete: 3 of 10 planned records are missing.")
    assert sentence({"plan": {"jax:jit": 8}}).endswith("8 of 8 planned records are missing.")
