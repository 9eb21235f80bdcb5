"""Requests for single functions: results with every bit, failures with their reason, and adapters of other authors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradagree.checker.response import Failure, Ready
from gradagree.checker.verdict import Verdict
from gradagree.runner import process as supervised, protocol
from gradagree.runner.process import MAX_EXTERNAL_KILLS, FrameworkProcess, RequestQueue

FAKE = str(Path(__file__).parents[1] / "numpy_fake.py")
ADAPTER = """
import os, signal, time
from gradagree.adapters import Adapter
from gradagree.adapters.pointwise import Pointwise
import numpy as np


def value(f, x, constants, k=None, j=None):
    return f(x)


def killed(f, x, constants, k=None, j=None):
    os.kill(os.getpid(), signal.SIGKILL)


def late(f, x, constants, k=None, j=None):
    time.sleep(600)


class Single(Pointwise):
    values = {"eager": value, "killed": killed, "late": late}
    slopes = seconds = {}


class OwnAdapter(Adapter.catalogue["numpy_fake"]):
    name = "own_adapter"
    implementations = {"tanh": lambda function, p: np.tanh(p)}

    def pointwise(self):
        return Single()
"""


@pytest.fixture
def extensions(tmp_path: Path) -> list[str]:
    file = tmp_path / "own_adapter.py"
    file.write_text(ADAPTER, encoding="utf-8")
    return [FAKE, str(file)]


def request(mode: str = "eager", function: str = "tanh", points: Any = (-0.0, 0.5, np.inf)) -> Any:
    x = protocol.pack(np.array(points, dtype=np.float64))
    return protocol.PointwiseRequest("activation", function, "float64", "value", mode, x)


def test_that_an_adapter_of_another_author_is_evaluated(extensions: list[str]) -> None:
    with RequestQueue(FrameworkProcess("own_adapter", extensions, limit=60)) as queue:
        handshake = queue.handshake
        assert isinstance(handshake, Ready), handshake
        assert handshake.pointwise == {"value": ["eager", "killed", "late"], "slope": [], "second": []}
        found = queue.submit(request()).result()
    assert isinstance(found, np.ndarray), found
    assert found.tobytes() == np.tanh([-0.0, 0.5, np.inf]).tobytes()


def test_that_windows_are_evaluated_alone_and_joined(extensions: list[str]) -> None:
    with FrameworkProcess("own_adapter", extensions, limit=60) as process:
        x = np.linspace(-1, 1, 5)
        request = protocol.PointwiseRequest(
            "activation", "tanh", "float64", "value", "eager", protocol.pack(x), windows=((1, 3), (0, 5))
        )
        found = process.evaluate(request)
    assert isinstance(found, np.ndarray), found
    assert np.array_equal(found, np.tanh(np.concatenate([x[1:3], x])))


def test_that_what_is_raised_or_not_implemented_is_a_failure_with_its_reason(extensions: list[str]) -> None:
    with FrameworkProcess("own_adapter", extensions, limit=60) as process:
        raised, missing = process.evaluate(request("unheard_of")), process.evaluate(request(function="relu"))
    assert raised == Failure("unheard_of", "raised", "KeyError: 'unheard_of'")
    assert isinstance(missing, Failure)
    assert (missing.verdict, "own_adapter" in missing.reason) == (Verdict.UNSUPPORTED, True)


def test_that_kills_from_outside_are_borne_and_a_late_result_costs_its_request_alone(
    extensions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launches = []
    launch = supervised.launch
    monkeypatch.setattr(supervised, "launch", lambda *args: launches.append(args) or launch(*args))
    with FrameworkProcess("own_adapter", extensions, limit=2) as process:
        assert process.evaluate(request("killed")) == Failure("killed", Verdict.CRASHED, "SIGKILL")
        assert len(launches) == MAX_EXTERNAL_KILLS
        assert process.evaluate(request("late")) == Failure("late", Verdict.TIMEOUT, "no result within 2 seconds")
        assert isinstance(process.evaluate(request()), np.ndarray)
