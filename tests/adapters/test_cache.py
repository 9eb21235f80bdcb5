"""One variable switches all caches off, or names the folder of all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradagree.adapters.cache import cache_folder
from gradagree.adapters.for_jax import cache
from gradagree.reference import Activation
from gradagree.surveys.cache import cached_exact_values
from gradagree.surveys.subject import Subject


def use_both() -> None:
    cache("1.2")
    cached_exact_values(Subject(Activation.named("tanh"), "float16", np.array([0.5])), "value")


@pytest.mark.parametrize("word", ["off", "OFF", "0", "no", "none", "false", "False", "", " "])
def test_that_a_word_switches_every_cache_off(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("GRADAGREE_CACHE", word)
    use_both()
    assert cache("1.2") == {}
    assert not list(tmp_path.iterdir())


def test_that_a_named_folder_is_the_root_of_every_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADAGREE_CACHE", str(tmp_path / "kept"))
    use_both()
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"jax-1.2", "truth"}
    assert cache("1.2")["jax_compilation_cache_dir"] == str(tmp_path / "kept" / "jax-1.2")


def test_that_caches_are_in_the_users_cache_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADAGREE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    use_both()
    assert {path.name for path in (tmp_path / "gradagree").iterdir()} == {"jax-1.2", "truth"}
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("truth") == Path.home() / ".cache" / "gradagree" / "truth"
