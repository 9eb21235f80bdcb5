"""The worked examples, by the command line and by `check`."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gradagree import Activation, Adapter, ErrorFunction, Layer, check
from gradagree.api import Disagreement, _probe
from gradagree.checker.verdict import Verdict
from gradagree.cli.main import code
from gradagree.runner.extensions import load
from gradagree.runner.results import read_records

FOLDER = Path(__file__).parents[2] / "examples"
BY_INPUTS = {"custom_backward.py": "torch", "whole_model.py": "torch", "attention.py": "jax"}
"""The examples that `gradagree check` takes, with their frameworks; the others are extensions."""
LAYERS = {"fused_layer_norm.py": "FusedLayerNorm"}
"""The examples of layers."""
FILES = sorted(path.name for path in FOLDER.glob("*.py") if path.name not in {*BY_INPUTS, *LAYERS})
TAPE = "--frameworks tape --activations tanh,sigmoid,bump --errors sse"
OPTIONS = {"adapter.py": TAPE, "ways_to_write.py": "--modes torch:backward,jax:grad"}
FUNCTIONS = {
    "fused_activation.py": ["FusedSiluTanh"],
    "parametrised_activation.py": ["BentLine", "LearnedSine"],
    "error_function.py": ["Lopsided"],
    "adapter.py": ["Bump"],
    "several_operands.py": ["TanhGate"],
    "ways_to_write.py": ["OldSilu", "ClippedInPlace", "ScaledTanh"],
}
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
EVERYWHERE = [(file, name) for file, names in FUNCTIONS.items() for name in names]


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What an example registers leaves with the test."""
    for base in (Activation, ErrorFunction, Layer, Adapter):
        monkeypatch.setattr(base, "catalogue", dict(base.catalogue))
    yield
    for name in [name for name in sys.modules if name.startswith("gradagree_extension_")]:
        del sys.modules[name]


def loaded(file: str) -> ModuleType:
    (module,) = load([str(FOLDER / file)])
    return module


def needed(file: str) -> list[str]:
    return ["tape"] if file == "adapter.py" else [name for name in ("torch", "jax") if importlib.util.find_spec(name)]


def test_that_every_example_is_listed_and_has_its_functions_checked() -> None:
    shown = (FOLDER / "README.md").read_text(encoding="utf-8")
    others = {*BY_INPUTS, *LAYERS}
    assert {*FILES, *others} == {*FUNCTIONS, *others} == set(re.findall(r"\]\((\w+\.py)\)", shown))


@pytest.mark.parametrize("file", BY_INPUTS)
def test_that_the_example_of_a_backward_pass_agrees_by_the_command_at_its_head(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(BY_INPUTS[file])
    monkeypatch.chdir(FOLDER.parent)
    text = (FOLDER / file).read_text(encoding="utf-8")
    (command,) = re.findall(r"^    gradagree (check .*?)\n\n", text, re.MULTILINE | re.DOTALL)
    typed = shlex.split(command.replace("\\\n", " "))
    assert code(typed) == 0


def test_that_the_module_of_the_example_agrees_with_its_own_forward_pass() -> None:
    pytest.importorskip("torch")
    module = loaded("custom_backward.py")
    report = check(module.GatedNorm(), inputs=module.inputs()[:1], dtypes="float32,bfloat16")
    assert report.verdict is Verdict.AGREE
    assert {"weight", "gate.weight", "gate.bias"} < {record.name for record in report.records}


def test_that_a_fault_in_the_example_of_attention_is_named(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    text = (FOLDER / "attention.py").read_text(encoding="utf-8")
    wrong = text.replace("(by_p - (by_p * p).sum(-1, keepdims=True)) / math", "by_p / math")
    assert wrong != text
    tmp_path.joinpath("wrong_attention.py").write_text(wrong)
    (module,) = load([str(tmp_path / "wrong_attention.py")])
    with pytest.raises(Disagreement) as caught:
        check(module.attention, module.plain_attention, inputs=module.inputs)
    assert "gradient of args[0] (queries) at [1, 0, 1]" in str(caught.value)
    assert re.search(
        r"through sum is missing \(.*_attention.py:52\).*so backward \(.*_attention.py:35\)", str(caught.value)
    )


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_that_the_fused_layer_norm_agrees_and_a_missing_term_is_found(framework: str, tmp_path: Path) -> None:
    pytest.importorskip(framework)
    kind = loaded("fused_layer_norm.py").FusedLayerNorm
    report = check(kind, frameworks=framework, dtypes="float32,bfloat16")
    assert {record.verdict for record in report.records} <= {Verdict.AGREE, Verdict.INACCURATE}
    text = (FOLDER / "fused_layer_norm.py").read_text(encoding="utf-8")
    wrong = text.replace("by_x, by_w = _by_x(wide * w", "by_x, by_w = _wrong(wide * w")
    wrong = wrong.replace("return _by_x(g * w, y, deviation, jax", "return _wrong(g * w, y, deviation, jax")
    wrong = wrong.replace("class FusedLayerNorm(", "class WrongLayerNorm(")
    wrong += "\n\ndef _wrong(g, y, deviation, mean):\n    return (g - mean(g, axis=-1, keepdims=True)) / deviation\n"
    (tmp_path / "wrong_norm.py").write_text(wrong)
    (module,) = load([str(tmp_path / "wrong_norm.py")])
    with pytest.raises(Disagreement, match="gradient of x of wrong_layer_norm"):
        check(module.WrongLayerNorm, frameworks=framework, dtypes="float32", layouts=False, repeat=1)


def test_that_the_command_of_the_fused_layer_norm_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(FOLDER.parent)
    assert code(["check", "examples/fused_layer_norm.py:FusedLayerNorm", "--framework", "torch"]) == 0


@pytest.mark.parametrize("file", FILES)
def test_that_the_command_at_the_head_of_an_example_agrees(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not needed(file):
        pytest.skip("no framework is installed")
    monkeypatch.chdir(tmp_path)
    chosen = OPTIONS.get(file, "--modes backward,grad")
    typed = f"run --ext {FOLDER / file} --cases 5 {chosen} --dtypes float64 --workers 1 --out results"
    assert code(typed.split()) == 0
    records = list(read_records(tmp_path / "results"))
    verdicts = {record.verdict for record in records if record.framework in needed(file)}
    assert verdicts
    assert Verdict.AGREE in verdicts
    assert verdicts <= {Verdict.AGREE, Verdict.CONVENTION, Verdict.INACCURATE, Verdict.UNDECIDED}
    judged = " ".join(record.spec for record in records)
    assert all(name in judged for name in names_in(file))


def names_in(file: str) -> list[str]:
    module = loaded(file)
    return [getattr(module, kind).name for kind in FUNCTIONS[file]]


@pytest.mark.parametrize(("file", "kind"), EVERYWHERE)
def test_that_an_example_passes_its_check(file: str, kind: str) -> None:
    made = getattr(loaded(file), kind)
    framework = next(iter(needed(file)), None) or pytest.skip("no framework is installed")
    modes = "grad" if framework == "jax" else "backward"
    records = check(made, frameworks=framework, modes=modes, dtypes=("float64",))
    assert {record.framework for record in records} == {framework}
    assert all(record.verdict.compared for record in records)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("mode", ["vmap", "forward"])
def test_that_a_fused_function_of_torch_is_right_in_modes_that_transform_it(mode: str) -> None:
    pytest.importorskip("torch")
    records = check(loaded("fused_activation.py").FusedSiluTanh, frameworks="torch", modes=mode, dtypes=("float64",))
    checked = [record for record in records if not record.reason.startswith("every gradient is 0")]
    assert {record.verdict for record in checked} == {Verdict.AGREE}
    assert len(checked) >= 4


def test_that_a_fused_function_of_jax_has_no_forward_mode_and_the_record_says_so() -> None:
    pytest.importorskip("jax")
    fused = loaded("fused_activation.py").FusedSiluTanh
    records = check(fused, frameworks="jax", modes="grad,forward", dtypes=("float64",))
    forward = {(record.verdict, record.reason) for record in records if record.mode == "forward"}
    reason = "jax: a function with a custom_vjp has no forward mode; give it a custom_jvp"
    assert forward == {(Verdict.UNSUPPORTED, reason)}


def test_that_an_old_style_function_has_no_vmap_and_no_forward_mode_and_the_record_says_so() -> None:
    pytest.importorskip("torch")
    old = loaded("ways_to_write.py").OldSilu
    records = check(old, frameworks="torch", modes="backward,grad,vmap,forward", dtypes=("float64",))
    assert {record.mode for record in records if record.verdict is not Verdict.UNSUPPORTED} == {"backward", "grad"}
    assert all(record.reason for record in records if record.verdict is Verdict.UNSUPPORTED)


@pytest.mark.parametrize("mode", ["forward", "grad"])
def test_that_a_custom_jvp_of_jax_is_right_in_both_directions(mode: str) -> None:
    pytest.importorskip("jax")
    records = check(loaded("ways_to_write.py").OldSilu, frameworks="jax", modes=mode, dtypes=("float64",))
    assert {record.verdict for record in records} == {Verdict.AGREE}


def test_that_the_parameter_of_a_module_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    module = loaded("ways_to_write.py")
    wrong = module._scaled_tanh_module(torch)
    monkeypatch.setattr(
        wrong, "forward", lambda p: (wrong.a.detach() + (wrong.a - wrong.a.detach()) / 2) * torch.tanh(p)
    )
    with pytest.raises(Disagreement, match=r"disagree in operation \d \(scaled_tanh\), da"):
        check(module.ScaledTanh, frameworks="torch", modes="backward", dtypes=("float64",))


PLANTED = [
    (
        "ways_to_write.py",
        "OldSilu",
        "s + p * s * (1 - s))\n\n    return Silu",
        "s + p * s * (1 + s))\n\n    return Silu",
    ),
    (
        "ways_to_write.py",
        "ClippedInPlace",
        "p.clamp_(-1.0, 2.0)",
        "p + (p.clamp(-1.0, 2.0) - p).detach()",
    ),
    ("several_operands.py", "TanhGate", "return delta_a * y, delta_a * x *", "return delta_a * y, -delta_a * x *"),
]


@pytest.mark.parametrize(("file", "kind", "right", "wrong"), PLANTED, ids=[kind for _, kind, _, _ in PLANTED])
def test_that_a_fault_planted_in_an_example_is_found(
    file: str, kind: str, right: str, wrong: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    text = (FOLDER / file).read_text(encoding="utf-8")
    assert right in text
    (tmp_path / file).write_text(text.replace(right, wrong, 1), encoding="utf-8")
    (module,) = load([str(tmp_path / file)])
    with pytest.raises(Disagreement, match=f"in operation \\d \\({getattr(module, kind).name}\\)"):
        check(getattr(module, kind), frameworks="torch", modes="backward", dtypes=("float64",))


def test_that_a_wrong_slope_in_the_fused_passes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    module = loaded("fused_activation.py")
    derivative = module._derivative
    monkeypatch.setattr(module, "_derivative", lambda *given: derivative(*given) * (1 + 1e-9))
    with pytest.raises(Disagreement, match="fused_silu_tanh"):
        check(module.FusedSiluTanh, frameworks="torch", modes="backward", dtypes=("float64",))


def test_that_a_wrong_rule_of_the_tape_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded("adapter.py")
    adapter, _ = _probe("tape")
    tensor = sys.modules[type(adapter).__module__].Tensor
    monkeypatch.setattr(adapter.framework, "tanh", lambda p: tensor(np.tanh(p.x), (p, lambda d: d)))
    with pytest.raises(Disagreement, match=r"tape 1\.0 backward: disagree"):
        check("3-4b-2:id,tanh*2:sse:n5:f64:ordinary:s1", frameworks="tape")


def test_that_a_function_that_tape_does_not_know_is_unsupported_with_the_line_to_add() -> None:
    loaded("adapter.py")
    with pytest.raises(Exception, match="Exp has no method 'tape': add `def tape") as caught:
        check("3-4b-2:id,exp*2:sse:n5:f64:ordinary:s1", frameworks="tape")
    assert type(caught.value).__name__ == "UsageError"
