from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gradagree.cases.text import split_case
from gradagree.checker.verdict import ORDER, Record, Verdict, exit_code
from gradagree.report import Summary, summarize
from gradagree.report.findings import cause_of
from gradagree.report.matrix import ACTIVATION, DTYPE, ERROR, MOST_COLUMNS, OTHERS, REGIME, UNKNOWN, Column
from gradagree.report.sections import largest_tolerances

SPEC = "2-3-3-1:id,tanh*2,relu:sse:n8:f64:grid:s7"
JIT = Column("jax", "jit")
FOUND_IN_A_BOX = [verdict for verdict in Verdict if verdict not in (Verdict.AGREE, Verdict.ABSENT)]


def record(verdict: Verdict = Verdict.AGREE, **changes: Any) -> Record:
    plain: dict[str, Any] = {"case": "1", "spec": SPEC, "sha256": "", "framework": "jax", "version": "0.10.2"}
    return Record(**(plain | {"mode": "jit", "dtype": "float64", "verdict": verdict} | changes))


def counts_of(summary: Summary, group: str) -> dict[str, dict[Verdict, int]]:
    return {name: dict(cells[JIT].counts) for name, cells in summary.matrix.cells[group].items() if JIT in cells}


def test_that_counts_add_up_to_the_records(every_verdict: list[Record]) -> None:
    summary = summarize({}, every_verdict)
    assert summary.counts == dict(sorted(Counter(r.verdict for r in every_verdict).items(), key=lambda v: ORDER[v[0]]))
    assert sum(summary.counts.values()) == summary.total == len(every_verdict)
    assert sum(summary.columns.values(), Counter()) == summary.verdicts
    assert set(summary.counts) == set(Verdict)


@pytest.mark.parametrize("group", [DTYPE, REGIME])
def test_that_dtypes_and_regimes_count_every_record(every_verdict: list[Record], group: str) -> None:
    cells = [cell for row in summarize({}, every_verdict).matrix.cells[group].values() for cell in row.values()]
    assert sum((cell.counts for cell in cells), Counter()) == Counter(r.verdict for r in every_verdict)


def test_that_findings_conventions_and_the_unjudged_cover_all_that_do_not_agree(every_verdict: list[Record]) -> None:
    summary = summarize({}, every_verdict)
    told = sum(finding.count for finding in summary.findings) + summary.conventions.total + summary.dropped.total
    assert told + summary.counts[Verdict.AGREE] == summary.total


def test_that_an_agreeing_record_counts_once_for_each_of_its_functions() -> None:
    summary = summarize({}, [record()])
    assert counts_of(summary, ACTIVATION) == {name: {Verdict.AGREE: 1} for name in ("id", "tanh", "relu")}
    assert counts_of(summary, ERROR) == {"sse": {Verdict.AGREE: 1}}


@pytest.mark.parametrize("verdict", FOUND_IN_A_BOX)
def test_that_only_the_faulty_function_is_charged(verdict: Verdict) -> None:
    summary = summarize({}, [record(verdict, box=2, function="tanh")])
    assert counts_of(summary, ACTIVATION) == {"tanh": {verdict: 1}}
    assert counts_of(summary, ERROR) == {}


def test_that_a_fault_in_the_error_box_is_the_error_functions() -> None:
    summary = summarize({}, [record(Verdict.DISAGREE, box="error", function="sse")])
    assert (counts_of(summary, ERROR), counts_of(summary, ACTIVATION)) == ({"sse": {Verdict.DISAGREE: 1}}, {})


def test_that_a_failure_without_a_box_stands_in_its_own_row() -> None:
    summary = summarize({}, [record(Verdict.CRASHED), record()])
    assert list(counts_of(summary, UNKNOWN).values()) == [{Verdict.CRASHED: 1}]
    assert counts_of(summary, ACTIVATION)["tanh"] == {Verdict.AGREE: 1}


def test_that_a_cell_tells_its_worst_verdict_and_all_other_failures() -> None:
    box = {"box": 2, "function": "tanh"}
    found = [Verdict.DISAGREE, Verdict.VALUE_DIFFERS, Verdict.UNDECIDED]
    summary = summarize({}, [record(verdict, **box) for verdict in found] + [record()] * 5)
    cell = summary.matrix.cells[ACTIVATION]["tanh"][JIT]
    assert (cell.verdict, cell.share) == (Verdict.VALUE_DIFFERS, "1 of 8, 1 more fail")


def test_that_a_finding_gathers_one_cause_and_shows_its_largest_ratio(every_verdict: list[Record]) -> None:
    loud = [r for r in every_verdict if r.verdict.fails or r.verdict is Verdict.INACCURATE]
    summary = summarize({}, every_verdict)
    assert {f.cause: f.count for f in summary.findings} == Counter(cause_of(r) for r in loud)
    for finding in summary.findings:
        same = [r for r in loud if cause_of(r) == finding.cause]
        assert finding.example in same
        assert all(r.ratio is None or float(r.ratio) <= finding.ratio for r in same)


def test_that_the_worst_findings_come_first(every_verdict: list[Record]) -> None:
    order = [(ORDER[f.cause.verdict], -f.ratio) for f in summarize({}, every_verdict).findings]
    assert order == sorted(order)
    assert len(order) > 1


def test_that_causes_beyond_the_room_are_counted_and_hide_no_worse_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradagree.report.findings.ROOM", 3)
    many = [record(Verdict.DISAGREE, function=f"f{k}") for k in range(5)] + [record(Verdict.CRASHED)]
    findings = summarize({}, many).findings
    assert (len(findings), findings.further) == (4, 2)
    assert next(iter(findings)).cause.verdict is Verdict.CRASHED


def test_that_columns_beyond_the_room_are_counted_together() -> None:
    summary = summarize({}, [record(mode=f"m{k}") for k in range(MOST_COLUMNS + 5)])
    assert summary.columns[Column(OTHERS, "")].total() == 5
    assert sum(counts.total() for counts in summary.columns.values()) == summary.total


def test_that_sharpness_is_kept_by_dtype_and_depth(make: Callable[..., list[Record]]) -> None:
    records = make(cases=30)
    summary = summarize({}, records)
    assert {name: spread.total for name, spread in summary.sharpness.items()} == Counter(r.dtype for r in records)
    depths = Counter((r.dtype, split_case(r.spec).depth) for r in records)
    assert {key: spread.total for key, spread in summary.by_depth.items()} == depths


def test_that_dtypes_come_widest_first(make: Callable[..., list[Record]]) -> None:
    assert summarize({}, reversed(make(cases=2))).dtypes == ["float64", "float32"]


def test_that_a_share_has_its_mean_and_its_least() -> None:
    summary = summarize({}, [record(share=share) for share in (1.0, 0.5, None)])
    assert (summary.shares["float64"].mean, summary.shares["float64"].least) == (0.75, 0.5)


@pytest.mark.parametrize("strict", [False, True])
def test_that_the_exit_code_is_that_of_the_records(every_verdict: list[Record], strict: bool) -> None:
    quiet = [r for r in every_verdict if not r.verdict.fails]
    assert summarize({"strict": strict}, every_verdict).exit == 1
    assert (
        summarize({"strict": strict}, quiet).exit == exit_code(Counter(r.verdict for r in quiet), strict) == int(strict)
    )
    assert summarize({}, []).exit == 5


def test_that_planned_records_that_are_not_there_are_missing() -> None:
    summary = summarize({"plan": {"jax:jit": 5, "torch:backward": 2, "jax:grad": "many"}}, [record()] * 3)
    assert summary.missing == {"jax:jit": 2, "torch:backward": 2}


def test_that_what_is_concluded_from_all_records_stands_for_none_of_them() -> None:
    concluded = record(Verdict.DISAGREE, framework="jax", mode="jit", spec="convention:relu: p = 0")
    planned = {"plan": {"jax:jit": 2}}
    assert summarize(planned, [record(framework="jax", mode="jit"), concluded]).missing == {"jax:jit": 1}


@pytest.mark.parametrize("meta", [{"plan": 3, "frameworks": [], "strict": "yes", "platform": None, "runs": 7}, {}])
def test_that_a_strange_meta_is_no_error(meta: dict[str, Any]) -> None:
    summary = summarize(meta, [record()])
    assert (summary.missing, summary.frameworks, summary.strict) == ({}, {}, False)


def test_that_the_records_are_read_once_and_left_unchanged(every_verdict: list[Record]) -> None:
    before = [msgspec.json.encode(r) for r in every_verdict]
    summarize({}, iter(every_verdict))
    assert [msgspec.json.encode(r) for r in every_verdict] == before


def test_that_one_cause_in_several_modes_is_one_finding_that_tells_them() -> None:
    found = [record(Verdict.DISAGREE, function="tanh", entry="dw[0,0]", mode=mode, ratio=2.0) for mode in "aab"]
    (finding,) = summarize({}, found).findings
    assert (finding.count, finding.words) == (3, "jax a 2, b 1")
    (alone,) = summarize({}, found[:2]).findings
    assert alone.words == "jax a"


def test_that_errors_that_name_no_box_differ_by_their_words_and_not_by_their_numbers() -> None:
    reasons = ("raised E: 3 is odd", "raised E: 5 is odd", "raised F: 3 is odd")
    summary = summarize({}, [record(Verdict.CRASHED, reason=reason) for reason in reasons])
    assert sorted(finding.count for finding in summary.findings) == [1, 2]


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


def test_that_conventions_and_lost_digits_are_distinguished_from_undecided_results() -> None:
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


def test_that_the_arrays_with_the_largest_tolerances_are_those_of_records_that_agree() -> None:
    records = [
        record(blunt="softmax: dw", sharpness=0.25),
        record(blunt="softmax: dw", sharpness=0.5),
        record(blunt="tanh: db", sharpness=0.75),
        record(blunt="erf: db", sharpness=0.875, verdict=Verdict.UNDECIDED),
        record(blunt=None, sharpness=0.0),
    ]
    summary = summarize({}, records)
    assert {x.name: (found.count, found.largest) for x, found in summary.blunt.items()} == {
        "softmax: dw": (2, 0.5), "tanh: db": (1, 0.75),
    }  # fmt: skip
    table = largest_tolerances(summary)
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["tanh: db", "float64", "0.75", "1"], ["softmax: dw", "float64", "0.5", "2"],
    ]  # fmt: skip
    assert largest_tolerances(summarize({}, [])).rows == []
