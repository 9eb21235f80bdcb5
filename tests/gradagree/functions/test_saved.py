"""The script of a failure runs the user's own function on the arguments that failed, in another process."""

from __future__ import annotations

import functools
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradagree import assert_grads, check
from gradagree.functions import saved
from gradagree.functions.importable import NotImportable, origin_of
from gradagree.functions.records import Disagreement, Report

torch = pytest.importorskip("torch")
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADAGREE_REPLAY_DIR", str(tmp_path / "replay"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path / "replay"


class Tripled(torch.autograd.Function):  # type: ignore[misc]
    """(scale * sin(x), x + 1) with a wrong gradient of the first."""

    @staticmethod
    def forward(ctx: Any, x: Any, _: Any, scale: Any) -> Any:
        ctx.save_for_backward(x)
        return torch.sin(x) * scale, x + 1

    @staticmethod
    def backward(ctx: Any, g: Any, h: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * torch.cos(x) * g + h, None, None


def reference(x: Any, _: Any, scale: Any) -> Any:
    return np.sin(x) * scale, x + 1


class Layer(torch.nn.Module):  # type: ignore[misc]
    """A module with parameters and a buffer, whose function has a wrong gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)
        self.register_buffer("shift", torch.full((2,), 0.25))

    def forward(self, x: Any) -> Any:
        return Tripled.apply(self.linear(x) + self.shift, None, 1.0)[0]


def failure(function: Any, args: Any, **options: Any) -> Disagreement:
    with pytest.raises(Disagreement) as caught:
        assert_grads(function, args, **options)
    return caught.value


def run(command: str) -> str:
    """What a script prints, in another folder and without this environment."""
    first, *words = shlex.split(command)
    assert Path(shutil.which(first) or first).samefile(sys.executable)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "GRADAGREE_REPLAY_DIR")}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, cwd=tempfile.gettempdir(), env=kept
    )
    return done.stdout + done.stderr


def run_here(command: str) -> str:
    """What a script prints in this process, which is faster."""
    with pytest.raises(AssertionError) as caught:
        runpy.run_path(shlex.split(command)[1])
    return str(caught.value)


def numbers(text: str) -> list[str]:
    return re.findall(r"(?:entry|expected|observed|tolerance) .*", text)


def shows_the_same(disagreement: Disagreement, run: Any = run_here) -> bool:
    shown, before = run(disagreement.report.replay), str(disagreement)  # type: ignore[union-attr]
    assert before.rstrip().split("\n")[-1] == f"See it again: {disagreement.report.replay}"  # type: ignore[union-attr]
    assert "See it again" not in shown
    assert len(numbers(before)) >= 4
    return numbers(shown) == numbers(before)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_that_the_script_shows_the_same_failure(dtype: str, folder: Path) -> None:
    x = torch.linspace(-1, 1, 5, requires_grad=True).to(getattr(torch, dtype))
    cotangents = [None, torch.ones_like(x)]
    options = {"reference": reference, "wrt": 0, "layouts": False}
    assert assert_grads(Tripled.apply, [x, {"by": (1, None)}, 2.0], cotangents=cotangents, **options)
    assert not folder.exists()
    found = failure(Tripled.apply, [x, {"by": (1, None)}, 2.0], cotangents=cotangents[::-1], **options)
    assert shows_the_same(found, run if dtype == "bfloat16" else run_here)


def test_that_a_module_is_saved_with_its_parameters_and_state() -> None:
    torch.manual_seed(4)
    with pytest.raises(Disagreement) as caught:
        check(Layer(), inputs=(np.linspace(-1, 1, 6).reshape(2, 3),), dtypes="float16")
    assert shows_the_same(caught.value, run)


def cubed(x: Any, p: Any) -> Any:
    """A function of JAX with a wrong gradient; defined in `wrong_in_jax`."""
    return wrong_in_jax()(x, p)


@functools.cache
def wrong_in_jax() -> Any:
    import jax

    @jax.custom_vjp
    def cube(x: Any, p: Any) -> Any:
        return p["w"] * x**3

    cube.defvjp(lambda x, p: (cube(x, p), (x, p)), lambda kept, g: (kept[0] ** 2 * g * kept[1]["w"], {"w": g}))
    return cube


def test_that_the_script_of_jax_shows_the_same_failure_in_float64() -> None:
    pytest.importorskip("jax")
    with pytest.raises(Disagreement) as caught:
        check(cubed, inputs=(np.linspace(-1, 1, 5), {"w": np.ones(5)}), dtypes="float64", frameworks="jax")
    assert shows_the_same(caught.value, run)


MAIN = """
import torch
from gradagree.torch import gradcheck

class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, g):
        return 3 * g

print("printed by the script of the user")
gradcheck(Doubled.apply, torch.ones(3, requires_grad=True), check_forward_ad=False, check_undefined_grad=False)
"""


def test_that_a_script_that_fails_at_its_end_is_repeated_with_its_own_function(tmp_path: Path, folder: Path) -> None:
    tmp_path.joinpath("own.py").write_text(MAIN)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GRADAGREE_REPLAY_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "own.py"], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    (command,) = re.findall(r"^See it again: (.*)$", done.stderr, re.MULTILINE)
    (script,) = folder.glob("*/replay.py")
    assert "gradcheck(\n    saved.load('__main__', 'Doubled.apply'),\n    saved.arrays[0],\n    check_undefined" in (
        script.read_text()
    )
    shown = run(command)
    assert "printed by" in done.stdout
    assert "printed by" not in shown
    assert numbers(shown) == numbers(done.stderr) != []


def test_that_the_arrays_are_those_before_the_function_wrote_to_them() -> None:
    x = torch.linspace(-1, 1, 5)
    found = failure(doubles_in_place, [x])
    assert "modifies args[0] in place" in str(found)
    assert shows_the_same(found)


def doubles_in_place(x: Any) -> Any:
    x.mul_(2)
    return torch.sin(x)


def test_that_arrays_that_are_not_contiguous_stay_so() -> None:
    x = torch.linspace(-1, 1, 10).reshape(5, 2)[:, 0]
    found = failure(wrong_if_strided, [x], layouts=False)
    assert shows_the_same(found)
    assert assert_grads(wrong_if_strided, [x.clone()], layouts=False)


def wrong_if_strided(x: Any) -> Any:
    return Tripled.apply(x, None, 1.0)[0] if not x.is_contiguous() else torch.sin(x)


def test_that_a_function_without_a_name_has_no_script_but_a_sentence(folder: Path) -> None:
    report = failure(lambda x: Tripled.apply(x, None, 1.0)[0], [torch.ones(2)]).report
    assert isinstance(report, Report)
    assert report.replay == ""
    (note,) = report.notes
    assert note.startswith("no script shows this again: <lambda> cannot be imported, as no module has it under a name")
    assert note.endswith("; give it one at the top of a file")
    assert not folder.exists()


def test_that_an_object_that_cannot_be_pickled_has_no_script_but_a_sentence() -> None:
    class Inner(Layer):
        pass

    (note,) = failure(Inner(), [torch.ones(2, 3)]).report.notes  # type: ignore[union-attr]
    assert "an object of the class Inner cannot be pickled" in note
    assert note.endswith("define the class at the top of a module, or check a function that makes the object")


def test_that_the_same_failure_has_the_same_folder_and_an_empty_variable_saves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (failure(Tripled.apply, [torch.ones(2), None, 2.0]).report.replay for _ in range(2))  # type: ignore[union-attr]
    assert one == two
    assert len(list(folder.iterdir())) == 1
    assert {path.name for path in folder.glob("*/*")} == {"arrays.npz", "arrays.json", "replay.py"}
    monkeypatch.setenv("GRADAGREE_REPLAY_DIR", "")
    report = failure(Tripled.apply, [torch.ones(2), None, 2.0]).report
    assert (report.replay, report.notes) == ("", [])  # type: ignore[union-attr]


def test_that_by_default_the_newest_are_kept_among_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRADAGREE_REPLAY_DIR")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(saved, "NEWEST", 2)
    for k in range(4):
        failure(Tripled.apply, [torch.ones(2), None, 4.0 + k])
    (home,) = tmp_path.iterdir()
    assert home.name.startswith("gradagree-of-")
    assert len(list(home.iterdir())) == 2


def test_that_a_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("file").write_text("")
    monkeypatch.setenv("GRADAGREE_REPLAY_DIR", str(tmp_path / "file"))
    (note,) = failure(Tripled.apply, [torch.ones(2), None, 2.0]).report.notes  # type: ignore[union-attr]
    assert note.startswith("no script shows this again: ")
    assert str(tmp_path / "file") in note


def test_that_arguments_that_are_too_large_are_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "LARGEST", 4)
    (note,) = failure(Tripled.apply, [torch.ones(2), None, 2.0]).report.notes  # type: ignore[union-attr]
    assert note.endswith("check the function with smaller ones")


def test_that_a_folder_is_given_as_an_option(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(Disagreement) as caught:
        check(Tripled.apply, inputs=(torch.ones(2), None, 2.0), save=tmp_path / "chosen")
    assert len(list((tmp_path / "chosen").glob("Tripled.apply-*/replay.py"))) == 1
    assert not folder.exists()
    assert shows_the_same(caught.value)


def in_module(name: str, **attributes: Any) -> Any:
    """A function of a module that is made here, as it would be if the module were imported."""
    module = types.ModuleType(name)
    exec("def function(x):\n    return x", module.__dict__)
    module.__dict__.update(attributes)
    return module


def test_that_a_function_of_an_interactive_session_is_told_to_be_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    main = in_module("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.raises(NotImportable, match="function is defined in an interactive session; define it in a file"):
        origin_of(main.function)


def test_that_a_module_run_by_its_name_is_loaded_by_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    main = in_module("__main__", __file__="/home/me/package/kernels.py", __spec__=ModuleSpec("package.kernels", None))
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert origin_of(main.function) == ("package.kernels", "function", "/home/me/package/kernels.py")


def squared(x: Any) -> Any:
    return x * x


def tripled(x: Any) -> Any:
    return 3 * x


def test_that_a_folder_that_cannot_be_written_is_a_note_that_names_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("GRADAGREE_REPLAY_DIR", str(file))
    with pytest.raises(Disagreement) as failed:
        assert_grads(squared, [torch.ones(2)], reference=tripled)
    assert failed.value.report is not None
    assert failed.value.report.notes[-1].endswith("choose another folder with --save, save= or GRADAGREE_REPLAY_DIR")


@pytest.mark.parametrize("limit", [1, 1 << 30], ids=["large", "small"])
def test_a_model_that_is_checked_operation_by_operation_is_saved(
    limit: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradagree.functions.models.LARGE", limit)
    with pytest.raises(Disagreement) as caught:
        check(Layer(), inputs=(torch.ones(4, 3),), modules=True)
    assert caught.value.report is not None
    shown = run_here(caught.value.report.replay)
    (fault,) = (text for one in caught.value.report.modules for text in one.faults)
    assert "Tripled.backward" in fault
    assert fault.partition(" (")[0] in shown
    assert "modules=True" in next(folder.glob("*/replay.py")).read_text()
