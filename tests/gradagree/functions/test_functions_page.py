"""The page on functions: its examples print what it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gradagree.checker.verdict import Verdict

pytest.importorskip("torch")
ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "functions.md").read_text(encoding="utf-8")
CODE, SHOWN = (re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL) for kind in ("python", "text"))


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code, "rms_norm.py", "exec"), names)
    return names


def fixed(text: str) -> str:
    """Without the digits of what is observed, which depend on the version and the processor."""
    return re.sub(r"(observed +\d\.\d{5})\d*", r"\1", text)


def test_that_the_wrong_backward_pass_prints_what_is_shown_and_the_right_one_agrees() -> None:
    with pytest.raises(AssertionError) as caught:
        run(CODE[0])
    assert fixed(str(caught.value)).split("\n") == fixed(SHOWN[0]).rstrip("\n").split("\n")
    run(CODE[0].replace(".sum(-1, keepdim=True), by_weight", ".mean(-1, keepdim=True), by_weight"))
    assert SHOWN[0].partition("\n\n")[0] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_that_the_examples_of_a_module_and_of_jax_agree(capsys: pytest.CaptureFixture[str]) -> None:
    run(CODE[1])
    assert "Sequential: agree" in capsys.readouterr().out
    pytest.importorskip("jax")
    run(CODE[2])
    assert capsys.readouterr().out == SHOWN[1]


def test_that_the_backward_pass_without_a_conjugate_prints_what_is_shown() -> None:
    with pytest.raises(AssertionError) as caught:
        run(CODE[5])
    assert fixed(str(caught.value)).startswith(fixed(SHOWN[3]))


def test_that_every_verdict_in_the_table_exists() -> None:
    named = re.findall(r"^\| `([\w-]+)` \|", TEXT, re.MULTILINE)
    assert {*named} < {verdict.value for verdict in Verdict}
    assert len(named) == len({*named}) == 10
