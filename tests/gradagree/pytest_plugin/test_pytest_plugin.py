"""``pytest --gradagree`` in a project of the user's own, with and without workers."""

from __future__ import annotations

import os
from doctest import DocTestParser
from importlib.util import find_spec
from pathlib import Path

import pytest

from gradagree.runner.results import read_meta, read_records
from tools.python_page import fixtures

pytest_plugins = ["pytester"]

FAKE = Path(__file__).parents[1] / "numpy_fake.py"
FUNCTIONS = '''
from gradagree import Activation
import numpy as np


class Bent(Activation):
    """A(p) = p^2 / 4."""

    def value(self, p): return p * p / 4
    def derivative(self, p): return SLOPE * p
'''
PROJECT = """
[tool.gradagree]
ext = ["numpy_fake.py", "functions.py"]
frameworks = "numpy_fake"
modes = "right"
dtypes = "float32"
"""
PASSING = [
    "pyproject.toml::bent[derivative]",
    "pyproject.toml::bent[numpy_fake-right-b000]",
    "pyproject.toml::all[numpy_fake-right-b000]",
]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with an activation and an adapter, and one test of its own."""
    root = str(Path(__file__).parents[3])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    pytester.path.joinpath("numpy_fake.py").write_text(FAKE.read_text())
    pytester.path.joinpath("functions.py").write_text(FUNCTIONS.replace("SLOPE", "0.5"))
    pytester.path.joinpath("pyproject.toml").write_text(PROJECT)
    pytester.makepyfile(test_own="def test_own(): pass\n")
    return pytester


def needs(*names: str) -> None:
    """Skip the test where a package is missing. It is not imported: pytester forgets it after the test, and PyTorch
    cannot be imported twice."""
    for name in names:
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


def run(project: pytest.Pytester, *words: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-p", "no:cacheprovider", *words, timeout=120)


def settings(project: pytest.Pytester, **changes: str) -> None:
    lines = [line for line in PROJECT.splitlines() if line.partition(" ")[0] not in changes]
    lines += [f"{key} = {value}" for key, value in changes.items()]
    project.path.joinpath("pyproject.toml").write_text("\n".join(lines) + "\n")


def test_that_without_the_option_no_test_is_added_and_nothing_heavy_is_imported(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_own="""
        import sys
        def test_own(): assert not {"numpy", "torch", "jax", "msgspec", "gradagree.runner.protocol"} & {*sys.modules}
    """
    )
    run(project, "-p", "no:jaxtyping").assert_outcomes(passed=1)  # a plugin that imports NumPy


def test_that_a_projects_functions_and_adapters_are_collected_and_agree(project: pytest.Pytester) -> None:
    result = run(project, "--gradagree", "--gradagree-seed", "5", "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["gradagree: gradagree *, numpy *; profile quick, seed 5"])
    result.stdout.fnmatch_lines([name.replace("[", "[[]") + " PASSED*" for name in PASSING])


LAYERS = '''
from gradagree import Layer
import numpy as np


class ScaledRows(Layer):
    """y = w x."""

    def value(self, x, w): return w * x
    def vjp(self, g, x, w): return w * g, np.sum(g * x, axis=AXIS)
    def example(self, rng): return {"x": rng.standard_normal((2, 3)), "w": rng.standard_normal(3)}
    def torch(self, x, w, *, torch): return w * x
    def jax(self, x, w, *, jax): return WRONG
'''
LAYER_TESTS = [f"pyproject.toml::scaled_rows[{part}]" for part in ("derivative", "torch", "jax")]


@pytest.mark.parametrize(
    ("axis", "wrong", "failing"),
    [("0", "w * x", []), ("0", "w * x.T.T + w / 8", ["jax"]), ("1", "w * x", ["derivative", "torch", "jax"])],
)
def test_that_a_projects_layers_are_collected_and_a_wrong_one_fails(
    project: pytest.Pytester, axis: str, wrong: str, failing: list[str]
) -> None:
    needs("torch", "jax")
    project.path.joinpath("functions.py").write_text(LAYERS.replace("AXIS", axis).replace("WRONG", wrong))
    settings(project, ext='["functions.py"]', frameworks='"torch,jax"', modes='"torch:backward,jax:grad"')
    result = run(project, "--gradagree", "-v", "-k", "scaled_rows")
    for test in LAYER_TESTS:
        fails = test.partition("[")[2].rstrip("]") in failing
        result.stdout.fnmatch_lines([f"{test.replace('[', '[[]')} {'FAILED' if fails else 'PASSED'}*"])


def test_that_ids_do_not_change_with_seed_profile_or_other_functions(project: pytest.Pytester) -> None:
    def ids(*words: str) -> list[str]:
        lines = run(project, "--gradagree", "--collect-only", "-q", *words).outlines
        return [line for line in lines if line.startswith("pyproject.toml::")]

    assert ids() == PASSING
    assert ids("--gradagree-seed", "9") == PASSING
    assert set(ids("--gradagree-profile", "ci")) > set(PASSING)
    more = FUNCTIONS.replace("SLOPE", "0.5") + FUNCTIONS.replace("SLOPE", "0.5").replace("Bent", "Apart")
    project.path.joinpath("functions.py").write_text(more)
    assert set(ids()) > set(PASSING)


@pytest.mark.parametrize(
    ("words", "passed"),
    [("-k bent", 2), ("-m gradagree", 3), ("-m gradagree_slow", 0), ("-k derivative", 1), ("-m 'not gradagree'", 1)],
)
def test_that_blocks_are_chosen_by_name_and_mark(words: str, passed: int, project: pytest.Pytester) -> None:
    flag, _, value = words.partition(" ")
    run(project, "--gradagree", "--strict-markers", flag, value.strip("'")).assert_outcomes(
        passed=passed, deselected=4 - passed
    )


def test_that_a_block_is_run_by_its_id_alone_and_joins_any_other_tests(project: pytest.Pytester) -> None:
    run(project, "--gradagree", PASSING[1]).assert_outcomes(passed=1)
    run(project, "--gradagree", "test_own.py").assert_outcomes(passed=4)


def test_that_a_wrong_gradient_fails_with_box_entry_expected_observed_and_tolerance(project: pytest.Pytester) -> None:
    settings(project, modes='"wrong"')
    result = run(project, "--gradagree", "-k", "bent and wrong", "--gradagree-report", "out")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.re_match_lines(
        [
            r"numpy_fake \S+ wrong: disagree in operation 1 \(id\), dw\[\d+,\d+\]",
            r"  expected \S+, observed \S+, tolerance \d\S+",
            r"  gradagree replay '?\S+bent\S+ --modes numpy_fake:wrong",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    assert any(record.verdict.fails for record in read_records(project.path / "out"))


def test_that_a_wrong_derivative_fails_by_itself(project: pytest.Pytester) -> None:
    project.path.joinpath("functions.py").write_text(FUNCTIONS.replace("SLOPE", "0.6"))
    result = run(project, "--gradagree", "-k", "derivative")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["bent: derivative does not match value: *"])


def test_that_a_framework_that_is_not_installed_is_skipped_and_one_that_dies_fails(project: pytest.Pytester) -> None:
    settings(project, frameworks='"not_here,stillborn"')
    result = run(project, "--gradagree", "-k", "bent and right", "-rs", "--gradagree-report", "out")
    result.assert_outcomes(skipped=1, failed=1, deselected=4)
    result.stdout.fnmatch_lines(["*not_here: not installed (No module named 'not_here'): pip install not-here*"])
    result.stdout.fnmatch_lines(["*stillborn: its process did not start: SIGSEGV*"])
    assert read_meta(project.path / "out")["frameworks"]["not_here"]["installed"] is False


@pytest.mark.parametrize("dist", ["load", "worksteal"])
def test_that_the_report_is_complete_although_a_worker_dies(dist: str, project: pytest.Pytester) -> None:
    project.makepyfile(
        test_own="""
        import os, time
        def test_that_kills_its_worker(): time.sleep(1); os.kill(os.getpid(), 9)
    """
    )
    settings(project, modes='"right,raises,flat"')
    result = run(project, "--gradagree", "-n", "2", "--dist", dist, "--gradagree-report", "out")
    result.stdout.fnmatch_lines(["*worker 'gw?' crashed while running*test_that_kills_its_worker*"])
    found = list(read_records(project.path / "out"))
    tests = {(record.mode, ":bent" in record.spec or ",bent" in record.spec) for record in found}
    assert tests == {(mode, own) for mode in ("right", "raises", "flat") for own in (True, False)}
    assert len({(record.spec, record.mode) for record in found}) == len(found)
    assert read_meta(project.path / "out")["frameworks"]["numpy_fake"]["installed"] is True
    assert (project.path / "out" / "report.html").exists()


def test_that_workers_make_the_same_verdicts_as_one_process(project: pytest.Pytester) -> None:
    settings(project, modes='"right,wrong"')
    for words in (["-n", "2"], []):
        run(project, "--gradagree", "--gradagree-report", f"out{len(words)}", *words)
    alone, together = (
        sorted((record.key, record.index, record.verdict) for record in read_records(project.path / f"out{count}"))
        for count in (0, 2)
    )
    assert alone == together != []


@pytest.mark.parametrize("dist", ["loadgroup", "loadscope", "loadfile", "each"])
@pytest.mark.parametrize("option", [["--gradagree"], ["--gradagree-report", "out"]])
def test_that_other_distribution_modes_are_an_error(dist: str, option: list[str], project: pytest.Pytester) -> None:
    result = run(project, "-n", "2", "--dist", dist, *option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --dist {dist} with gradagree: *; use --dist load or worksteal"])


@pytest.mark.parametrize(
    ("words", "table", "message"),
    [
        (["--gradagree-profile", "fast"], {}, "--profile: unknown profile 'fast'; known: ci, nightly, quick"),
        (["--gradagree-seed", "-1"], {}, "--seed -1: give a whole number of at least 0"),
        ([], {"modes": '"backwards"'}, "--modes: no mode 'backwards' in numpy_fake; *"),
        ([], {"seed": '"1"'}, "*: [[]tool.gradagree] seed is '1'; write a whole number"),
        ([], {"sead": "1"}, "*: [[]tool.gradagree] has no key 'sead'; did you mean 'seed'?"),
        ([], {"ext": '["none.py"]'}, "*: [[]tool.gradagree] ext *none.py: no such file"),
        ([], {"ext": "[]", "frameworks": '"torch"', "modes": '"all"'}, "this project defines no activation, *"),
    ],
)
def test_that_bad_input_is_an_error_in_one_line(
    words: list[str], table: dict[str, str], message: str, project: pytest.Pytester
) -> None:
    settings(project, **table)
    result = run(project, "--gradagree", *words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --gradagree: {message}"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_that_the_examples_of_the_fixtures_pass(project: pytest.Pytester) -> None:
    needs("torch")
    examples = [example for _, _, docstring in fixtures() for example in DocTestParser().get_examples(docstring)]
    project.makepyfile(test_own="\n".join(example.source for example in examples))
    run(project, "-p", "no:xdist").assert_outcomes(passed=4)


def test_that_the_fixture_checks_its_argument_and_keeps_the_records(project: pytest.Pytester) -> None:
    settings(project, modes='"all"')
    project.makepyfile(
        test_own="""
        from functions import Bent
        from gradagree import Case

        def test_activation(gradagree_check): assert gradagree_check(Bent(), frameworks="numpy_fake", modes="right")
        def test_wrong(gradagree_check): gradagree_check(Bent(), frameworks="numpy_fake", modes="wrong")
        def test_case(gradagree_check):
            case = Case.parse("3-4b-2:id,tanh*2:sse:n5:f64:ordinary:s1")
            assert len(gradagree_check(case, frameworks="numpy_fake", modes="right")) == 1
        def test_absent(gradagree_check): gradagree_check(Bent(), frameworks="not_here", modes="right")
    """
    )
    result = run(project, "--gradagree-report", "out", "-p", "no:xdist")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.re_match_lines([r"numpy_fake \S+ wrong: disagree in operation 1 \(id\), dw.*", r"  expected .*"])
    result.stdout.fnmatch_lines(["nothing was compared: not installed *"])
    modes = [record.mode for record in read_records(project.path / "out")]
    assert {*modes} == {"right", "wrong"}
    assert modes.count("right") > 1


def test_that_functions_checked_by_inputs_are_in_the_summary(project: pytest.Pytester) -> None:
    needs("torch")
    project.makepyfile(
        test_own="""
        import numpy as np, torch
        X = torch.linspace(-1, 1, 5)
        class Wrong(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x): return torch.tanh(x)
            @staticmethod
            def backward(ctx, g): return g
        def test_right(gradagree_check): assert not gradagree_check(torch.tanh, np.tanh, inputs=(X,)).failures
        def test_wrong(gradagree_check): gradagree_check(Wrong.apply, np.tanh, inputs=(X,))
        def test_usage(gradagree_check): gradagree_check(torch.tanh, inputs=X)
    """
    )
    result = run(project, "test_own.py", "--gradagree-report", "out")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "Wrong.apply: gradient of args?0? (torch float32): disagree",
            "*inputs is a Tensor; give a tuple of arguments*",
            "tanh: agree, 2 arrays: out?function-1.html",
            "Wrong.apply: disagree, 2 arrays: out?function-2.html",
        ]
    )
    assert (project.path / "out" / "function-2.html").read_text().count("gradient of args[0]") == 2
    (script,) = (project.path / "out" / "replay").glob("Wrong.apply-*/replay.py")
    result.stdout.fnmatch_lines([f"See it again: *{script.parent.name}*"])
