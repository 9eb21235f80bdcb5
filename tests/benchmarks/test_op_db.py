"""PyTorch's corpus: what is judged, refused and accused is counted, and a hang ends."""

from __future__ import annotations

import importlib
import json
import math
import time
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
op_db = pytest.importorskip("benchmarks.op_db")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:os.fork"),  # JAX, which other tests import, warns of every fork
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class WrongSine(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return torch.sin(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 1.01 * torch.cos(ctx.saved_tensors[0])


def operation(function: Any) -> Any:
    """A record of one sample, as PyTorch has them."""

    def samples(device: str, dtype: Any, requires_grad: bool) -> Any:
        x = torch.linspace(0.1, 1.0, 5).to(dtype).requires_grad_(requires_grad)
        yield SimpleNamespace(input=x, args=(), kwargs={}, output_process_fn_grad=lambda y: y)

    return SimpleNamespace(
        formatted_name="mine", sample_inputs=samples, get_op=lambda: function,
        gradcheck_wrapper=lambda op, *args, **kwargs: op(*args, **kwargs),
        supported_backward_dtypes=lambda _: {torch.float32, torch.complex64},
    )  # fmt: skip


def measure(function: Any, limit: float = 60.0) -> dict[str, Any]:
    ((name, result),) = op_db.measure([operation(function)], op_db.DTYPES, None, limit)
    assert name == "mine"
    assert list(result) == ["float32"]
    return result["float32"]  # type: ignore[no-any-return]


def test_that_a_right_operation_is_judged() -> None:
    found = measure(torch.sin)
    assert found["verdicts"] == {"agree": 1}
    assert 0 < found["sharpness"] < 1e-5
    assert op_db.judged({"float32": found})


def test_that_a_wrong_operation_is_accused() -> None:
    found = measure(WrongSine.apply)
    assert found["verdicts"] == {"disagree": 1}
    assert found["failures"][0]["quantity"] == "gradient"


def test_that_an_operation_without_a_numpy_form_is_listed() -> None:
    found = measure(lambda x: torch.special.airy_ai(x))
    assert found["judged"] == 0
    assert "aten.special_airy_ai" in found["unknown"]
    assert not op_db.judged({"float32": found})


def test_that_an_operation_that_hangs_ends() -> None:
    found = measure(lambda x: time.sleep(60) or x, limit=1.0)
    assert found["refused"] == {"not finished within 1 s": 1}


def test_that_the_corpus_is_large_and_in_shards() -> None:
    names = [op.formatted_name for op in op_db.corpus()]
    shards = [op_db.chosen(op_db.corpus(), None, f"{k}/3") for k in (1, 2, 3)]
    assert len(names) > 500
    assert sorted(op.formatted_name for shard in shards for op in shard) == sorted(names)
    chosen = {op.formatted_name for op in op_db.chosen(op_db.corpus(), "softmax,log_soft*", None)}
    assert {"softmax", "log_softmax"} <= chosen <= {name for name in names if "softmax" in name}


def test_that_the_page_accounts_for_each_operation() -> None:
    page = importlib.import_module("benchmarks.op_db_page")
    refused = {"no NumPy form of the operation aten.cholesky is known (called at f.py:1); give a reference": 1}
    none = {"samples": 1, "judged": 0, "verdicts": {}, "sharpness": None, "refused": refused}
    agreed = {"samples": 1, "judged": 1, "verdicts": {"agree": 1}, "sharpness": 1e-7, "refused": {}}
    accused = {"samples": 1, "judged": 1, "verdicts": {"disagree": 1}, "sharpness": 1e-7, "refused": {}}
    operations = {"cholesky": {"float32": none}, "exp": {"float32": agreed}, "sin": {"float32": accused}}
    text = page.page({"versions": {"torch": "2"}, "samples": 3, "operations": operations})
    assert "| not covered: no NumPy form of the operation aten.cholesky is known | `cholesky` |" in text
    assert "| `exp` | covered | agree 1 | float32 1.0e-07 |" in text
    assert "| float32 | 3 | 3 | 2 | 0 | 1 | 1.0e-07 | 2 |" in text
    assert "3 operations. 2 are judged in each of their dtypes, 2 of them on" in text
    assert "at most 3 samples" in text
    assert "| `sin` | float32 1 of 1 | not examined yet |" in text
    assert "For 2, the median relative tolerance" in text


def test_that_relative_tolerances_that_are_not_numbers_count_as_unbounded() -> None:
    page = importlib.import_module("benchmarks.op_db_page")
    outcomes = [{"verdict": "agree", "sharpness": [x]} for x in (1e-7, math.nan, 1e-6)]
    assert op_db.summary(outcomes)["sharpness"] == 1e-6
    one = {"samples": 1, "judged": 1, "verdicts": {"agree": 1}, "refused": {}}
    operations = {str(k): {"float32": {**one, "sharpness": x}} for k, x in enumerate((3e-3, math.nan, 1e-7))}
    text = page.page({"versions": {"torch": "2"}, "samples": 3, "operations": operations})
    assert "| float32 | 3 | 3 | 3 | 0 | 0 | 3.0e-03 | 1 |" in text


def test_that_the_page_says_what_was_run_and_counts_operations_of_complex_numbers() -> None:
    page = importlib.import_module("benchmarks.op_db_page")
    one = {"samples": 1, "judged": 1, "verdicts": {"agree": 1}, "refused": {}}
    operations = {name: {"complex64": {**one, "sharpness": x}} for name, x in (("real", 1e-7), ("imag", 1e-3))}
    text = page.page({"versions": {"torch": "2"}, "samples": 3, "operations": operations, "note": "Two of 547 ran."})
    assert "\n\nTwo of 547 ran.\n\n" in text
    assert "For 1, the median relative tolerance" in text


def test_that_samples_are_spread_from_the_first_to_the_last() -> None:
    assert op_db.spread(10, 4) == [0, 3, 6, 9]
    assert op_db.spread(10, 1) == [0]
    assert op_db.spread(2, 4) == op_db.spread(2, None) == [0, 1]


def test_that_a_slow_sample_ends_those_of_its_dtype_only() -> None:
    def slow_in_float64(x: Any) -> Any:
        if x.dtype is torch.float64:
            time.sleep(60)
        return torch.sin(x)

    slow = operation(slow_in_float64)
    slow.supported_backward_dtypes = lambda _: {torch.float32, torch.float64}
    ((_, result),) = op_db.measure([slow], op_db.DTYPES, None, 2.0)
    assert result["float64"]["refused"] == {"not finished within 2 s": 1}
    assert result["float32"]["verdicts"] == {"agree": 1}


def test_that_results_are_one_operation_a_line() -> None:
    operations = {name: {"float32": measure(function)} for name, function in (("b", WrongSine.apply), ("a", torch.sin))}
    text = op_db.text_of({"samples": 1, "operations": operations})
    assert json.loads(text) == json.loads(json.dumps({"samples": 1, "operations": operations}))
    assert [line[:4] for line in text.splitlines()[1:-1]] == ['"a":', '"b":']
    assert "op_db.py" not in text


def test_that_each_published_failure_is_examined() -> None:
    page = importlib.import_module("benchmarks.op_db_page")
    operations = json.loads(page.RESULT.read_text())["operations"]
    assert len(operations) > 500
    failing = [name for name, one in operations.items() if page.failing(one)]
    assert [name for name in failing if page.explanation(name) is None] == []
    assert page.RESULT.parents[1].joinpath("docs/op-db.md").read_text() == page.page(
        json.loads(page.RESULT.read_text())
    )
