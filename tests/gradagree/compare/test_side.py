"""Extracts: small, and as good as the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradagree.checker.verdict import Verdict
from gradagree.compare import Side, compare_runs, read_side, write_extract
from gradagree.errors import UsageError


def odd(record: Any) -> dict[str, Any]:
    """Something of everything."""
    if record.spec.endswith("3"):
        return {"verdict": Verdict.DISAGREE, "reason": "<img src=x>", "expected": "0x1p+0", "ratio": "inf"}
    if record.spec.endswith("4"):
        return {"verdict": Verdict.CONVENTION, "slopes": {"relu: p = 0": ["left"]}}
    return {"verdict": Verdict.UNSUPPORTED, "ratio": None} if record.spec.endswith("5") else {}


@pytest.fixture
def written(make: Any, changed: Any, side: Any, tmp_path: Path) -> tuple[Side, Path]:
    before = side(changed(make(60), odd), versions={"torch": "2.12.0"}, facts={"machine": "x"}, strict=True)
    assert write_extract(before, tmp_path / "base.jsonl") == 0
    return before, tmp_path / "base.jsonl"


def test_that_an_extract_is_as_good_as_its_folder(
    written: tuple[Side, Path], make: Any, changed: Any, side: Any
) -> None:
    before, path = written
    read = read_side(path)
    assert list(read.outcomes) != list(before.outcomes)
    assert {key: outcome[:2] for key, outcome in read.outcomes.items()} == {
        k: j[:2] for k, j in before.outcomes.items()
    }
    assert (read.slopes, read.versions, read.facts, read.strict) == (
        before.slopes, before.versions, before.facts, before.strict,
    )  # fmt: skip
    for after in (side(make(60)), side(changed(make(60), lambda record: {"ratio": 16 * record.ratio})), before):
        one, other = compare_runs(before, after), compare_runs(read, after)
        assert one.moves == other.moves
        assert [(c.cause, c.count, c.was) for c in one.resolved] == [(c.cause, c.count, c.was) for c in other.resolved]
        assert [(loss.column, loss.what, loss.count) for loss in one.losses] == [
            (loss.column, loss.what, loss.count) for loss in other.losses
        ]
        assert (one.turns, one.gained, one.exit) == (other.turns, other.gained, other.exit)


def test_that_an_extract_is_a_fraction_of_the_records(written: tuple[Side, Path], make: Any) -> None:
    import msgspec

    whole = sum(len(msgspec.json.encode(record)) for record in make(60))
    assert written[1].stat().st_size < whole / 3


def test_that_an_extract_past_its_room_keeps_what_does_not_agree_and_counts_the_rest(
    written: tuple[Side, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, path = written
    monkeypatch.setattr("gradagree.compare.side.MOST_BYTES", 9000)
    left_out = write_extract(before, path)
    read = read_side(path)
    assert 0 < left_out == read.left_out == len(before.outcomes) - len(read.outcomes)
    assert {key for key, outcome in before.outcomes.items() if outcome.record} <= set(read.outcomes)
    assert path.stat().st_size < 9000 + 1000
    assert compare_runs(read, before).losses == compare_runs(before, read).losses == []


@pytest.mark.parametrize(
    "content",
    [
        "", "{}\n", "no json\n", "[1]\n", '{"extract": 2}\n', '{"extract": 1}\n', "\x00\n",
        '{"extract":1,"of":"","versions":{},"facts":{},"strict":false,"columns":[],"slopes":[],"left_out":0}\n[1]\n',
        '{"extract":1,"of":"","versions":{},"facts":{},"strict":false,"columns":[],"slopes":[],"left_out":0}\n["a","f",[3,4,1,1,1]]\n',
    ],
)  # fmt: skip
def test_that_a_file_that_is_no_extract_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        read_side(path)
    assert "is no extract" in str(caught.value)
    assert "\n" not in str(caught.value)
