"""Patches come off again, stand in for the function, and reach modules that are imported later."""

from __future__ import annotations

import copy
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from gradagree.audit.patches import Patches, Wrapper
from gradagree.audit.session import Audit


def test_that_a_wrapper_stands_in_for_its_function() -> None:
    wrapper = Wrapper(np.allclose, lambda *a, **k: np.allclose(*a, **k))
    assert wrapper == np.allclose
    assert {np.allclose: 1}[wrapper] == 1
    assert wrapper.__name__ == "allclose"
    assert wrapper.__doc__ == np.allclose.__doc__
    assert pickle.loads(pickle.dumps(wrapper)) == np.allclose
    assert copy.deepcopy(wrapper) is not None
    with pytest.raises(AttributeError):
        _ = wrapper.nothing


def test_that_importers_of_the_name_are_patched_too_and_all_is_undone() -> None:
    home, other = types.ModuleType("own_home"), types.ModuleType("own_other")
    home.close = other.close = original = lambda: 1  # type: ignore[attr-defined]
    sys.modules |= {"own_home": home, "own_other": other}
    try:
        patches = Patches()
        patches.replace(home, "close", "wrapper")
        assert (home.close, other.close) == ("wrapper", "wrapper")
        patches.undo()
        assert (home.close, other.close) == (original, original)
    finally:
        del sys.modules["own_home"], sys.modules["own_other"]


def test_that_a_module_is_patched_after_its_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_later.py").write_text("def f(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    audit, seen = Audit(tmp_path), []
    audit.patches.on_import({"own_later": lambda module, audit: seen.append(module.f())}, audit)
    try:
        import own_later  # type: ignore[import-not-found]

        assert seen == [1]
        assert own_later.__spec__.loader.exec_module.__name__ == "exec_module"
    finally:
        audit.patches.undo()
        sys.modules.pop("own_later", None)
    assert not any(type(finder).__name__ == "HookFinder" for finder in sys.meta_path)


def test_that_a_failing_patch_is_counted_and_swallowed(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    audit.patches.on_import({"numpy": lambda module, audit: 1 / 0}, audit)
    audit.patches.undo()
    assert [name.partition(": ")[2] for name in audit.failures] == ["ZeroDivisionError: division by zero"]
