"""Former import paths that other people's code uses still work."""

from __future__ import annotations

import gradagree.api
import gradagree.checking


def test_that_the_former_path_of_check_gives_the_same_objects() -> None:
    assert gradagree.checking.check is gradagree.api.check
    assert gradagree.checking.Disagreement is gradagree.api.Disagreement
