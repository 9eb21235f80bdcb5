"""Scripts run without gradagree, and observe the same number as gradagree."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from gradagree.adapters import Adapter
from gradagree.cases.case import Case
from gradagree.cases.random import draw
from gradagree.checker.verdict import Record, Verdict, plain
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.reproduce import script as standalone_script
from gradagree.reproduce.record_script import format_script
from gradagree.runner.extensions import load
from gradagree.runner.process import FrameworkProcess
from gradagree.shrink import ModeProcess

BLOCKED = Path(__file__).parent / "blocked.py"
CASES = (
    "3-4b-2:id,tanh,relu:cross_entropy:n3:f32:ordinary:s1",
    "3-4b-2b:id,prelu,softmax:sse:n3:f64:ordinary:s2",
    "2-3-1:id,leaky_relu(negative_slope=0.5):mse(reduction=none):n2:f32:grid:s3",
)
FRAMEWORKS = ("torch", "jax")


def needs(framework: str) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")


def run(scripts: Sequence[str], folder: Path) -> list[tuple[object, str]]:
    """Exit code and output of each script, in one process without gradagree."""
    paths = []
    for place, text in enumerate(scripts):
        paths.append(folder / f"script{place}.py")
        paths[-1].write_text(text)
    done = subprocess.run([sys.executable, "-I", str(BLOCKED), *map(str, paths)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def observed(output: str) -> float:
    """The number after ``observed``."""
    return float(output.partition("observed ")[2].split()[0])


def records_of(framework: str, modes: Sequence[str], cases: Sequence[Case]) -> list[tuple[Case, Record]]:
    with FrameworkProcess(framework) as process:
        found = [(case, ModeProcess(process, mode).record(case, case.arrays())) for mode in modes for case in cases]
    return [(case, record) for case, record in found if record is not None and record.expected is not None]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_that_a_script_observes_the_same_number_and_ends_with_1_only_for_a_fault(
    framework: str, tmp_path: Path
) -> None:
    needs(framework)
    modes = [mode for mode in Adapter.catalogue[framework].modes if mode not in ("compile", "packed")]
    assert_observed(
        framework, modes, CASES if framework == "torch" else CASES[:1], tmp_path
    )  # jax compiles every shape


@pytest.mark.parametrize(("framework", "mode"), [("torch", "compile"), ("jax", "packed")])
def test_that_a_script_of_a_compiled_mode_observes_the_same_number(framework: str, mode: str, tmp_path: Path) -> None:
    needs(framework)
    assert_observed(framework, [mode], CASES[:1], tmp_path)


def assert_observed(framework: str, modes: Sequence[str], specs: Sequence[str], folder: Path) -> None:
    """Scripts of right numbers end with 0, of wrong ones with 1, and each prints the number that gradagree observed."""
    found = records_of(framework, modes, [Case.parse(spec) for spec in specs])
    assert {record.mode for _, record in found} == set(modes)
    shifted = [(case, with_expected(record, plain(record.observed) + 2 * plain(record.tolerance) + 1))
               for case, record in found]  # fmt: skip
    ended = run([format_script(case, record) for case, record in found + shifted], folder)
    assert [code for code, _ in ended] == [0] * len(found) + [1] * len(found)
    assert [observed(output) for _, output in ended] == [plain(record.observed) for _, record in found + shifted]


def with_expected(record: Record, expected: float) -> Record:
    return msgspec.structs.replace(record, expected=expected.hex())


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_that_scripts_hold_the_implementations_of_functions(framework: str, tmp_path: Path) -> None:
    needs(framework)
    activations = [kind() for kind in Activation.catalogue.values() if kind.__module__.startswith("gradagree.")]
    errors = [kind() for kind in ErrorFunction.catalogue.values() if kind.__module__.startswith("gradagree.")]
    pairs = [((a,), None) for a in activations] + [(None, (e,)) for e in errors]
    pairs = pairs[:: 2 if framework == "torch" else 12]
    cases = [next(iter(draw(1, 1, ("float32",), a, e, ("ordinary",)))) for a, e in pairs]
    found = records_of(framework, ["backward" if framework == "torch" else "grad"], cases)
    assert len(found) > len(cases) / 2
    ended = run([format_script(case, record) for case, record in found], tmp_path)
    wrong = [
        (case.spec, code, output)
        for (case, record), (code, output) in zip(found, ended, strict=True)
        if code != int(record.verdict.fails) or observed(output) != plain(record.observed)
    ]
    assert wrong == []


def plain_record(**changes: object) -> Record:
    fields = {
        "case": "1", "spec": CASES[0], "sha256": "", "framework": "torch", "version": "2.13.0", "mode": "backward",
        "dtype": "float32", "verdict": Verdict.DISAGREE, "box": 1, "function": "id", "entry": "dw[0,1]",
        "expected": "0x1p+0", "expected_radius": "0x1p-60", "observed": "0x1.8p+0", "tolerance": "0x1p-20",
    }  # fmt: skip
    return msgspec.convert(fields | changes, Record)


def test_that_a_script_is_a_few_dozen_lines() -> None:
    text = format_script(Case.parse("2-2:id:sse:n1:f64:grid:s1"), plain_record(dtype="float64"))
    assert len(text.splitlines()) <= 5 * 12
    assert "gradagree" not in text


def test_that_the_script_of_a_crash_ends_with_1_if_an_error_is_raised(tmp_path: Path) -> None:
    needs("torch")
    crash = plain_record(verdict=Verdict.CRASHED, reason="raised E", entry=None, expected=None, observed=None)
    text = format_script(Case.parse(CASES[0]), crash)
    broken = text.replace("def error(", "def error(no_such_leaf, ")
    assert [code for code, _ in run([text, broken], tmp_path)] == [None, 1]


FATAL = """
import os
import signal
import time

from gradagree import Activation


class Fatal(Activation):
    \"\"\"A(p) = p; its implementation ends the process, or never ends.\"\"\"

    def value(self, p): return 1 * p
    def derivative(self, p): return 1 + 0 * p

    def torch(self, p, torch):
        FATE
        return p
"""


@pytest.mark.parametrize(
    ("fate", "verdict", "reason", "says"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", Verdict.CRASHED, "SIGSEGV", "ended with -11"),
        ("time.sleep(3600)", Verdict.TIMEOUT, "no answer within 300 seconds", "ended with no answer within 5 seconds"),
        ("pass", Verdict.TIMEOUT, "no answer within 300 seconds", "ended with 0"),
    ],
)
def test_that_the_script_of_a_case_without_an_answer_ends(
    fate: str, verdict: Verdict, reason: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("torch")
    monkeypatch.setattr(Activation, "catalogue", dict(Activation.catalogue))
    monkeypatch.setattr("gradagree.reproduce.script.SUBPROCESS_LIMIT", 5 if "sleep" in fate else 60)
    (tmp_path / "fatal.py").write_text(FATAL.replace("FATE", fate))
    load([str(tmp_path / "fatal.py")])
    record = plain_record(verdict=verdict, reason=reason, entry=None, expected=None, observed=None, box=None)
    text = format_script(Case.parse("1-1:fatal:sse:n1:f64:grid:s1"), record)
    (tmp_path / "script.py").write_text(text)
    done = subprocess.run([sys.executable, "-I", str(tmp_path / "script.py")], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (int(fate != "pass"), says), done.stderr


@pytest.mark.parametrize("name", ['"""', "\\", "<img src=x onerror=alert(1)>", "\n\nimport os", "'); exit(3) #"])
def test_that_text_of_a_record_is_never_code(name: str) -> None:
    text = format_script(Case.parse(CASES[0]), plain_record(version=name, reason=name, function=name))
    tame = ast.parse(format_script(Case.parse(CASES[0]), plain_record(version="1", reason="r", function="f")))
    tree = ast.parse(text)
    assert [ast.dump(node) for node in tree.body[1:]] == [ast.dump(node) for node in tame.body[1:]]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"framework": "mx"}, "--script: no script is known for mx:backward"),
        ({"mode": "it's"}, "--script: no script is known for torch:it's"),
        ({"entry": "E'"}, "--script: this case has so many weights"),
    ],
)
def test_that_a_record_without_a_script_is_refused(changes: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        format_script(Case.parse(CASES[0]), plain_record(**changes))
    assert str(caught.value).startswith(says)


def test_that_a_function_without_a_source_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Activation, "catalogue", dict(Activation.catalogue))
    space: dict[str, object] = {"Activation": Activation}
    methods = ("value(self, p): return p", "derivative(self, p): return 1 + 0 * p", "torch(self, p, torch): return p")
    exec("class Conjured(Activation):\n" + "".join(f"    def {method}\n" for method in methods), space)
    with pytest.raises(UsageError, match=r"source of Conjured\.torch is not available"):
        format_script(Case.parse("2-2:conjured:sse:n1:f64:grid:s1"), plain_record(dtype="float64"))


def test_that_the_package_exports_no_module_as_a_function() -> None:
    assert not callable(standalone_script)
