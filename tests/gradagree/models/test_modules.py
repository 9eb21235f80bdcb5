"""Whole models, operation by operation: correct models are not accused, planted faults are found and named."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from gradagree import check  # noqa: E402
from gradagree.arithmetic.model import model  # noqa: E402
from gradagree.errors import UsageError  # noqa: E402
from gradagree.functions.inputs import report_by_inputs  # noqa: E402
from gradagree.functions.judge import ArrayFinding  # noqa: E402
from gradagree.functions.page import function_page  # noqa: E402
from gradagree.functions.products import Tally, check_product, worst_entry  # noqa: E402
from gradagree.functions.records import Disagreement, Report  # noqa: E402

SEED = 7


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(SEED)


class Block(nn.Module):
    """A block of a transformer with residual connections and dropout."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Any) -> Any:
        n, t, width = x.shape
        split = self.qkv(self.ln1(x)).split(width, -1)
        q, k, v = (z.view(n, t, self.heads, width // self.heads).transpose(1, 2) for z in split)
        a = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.drop(self.out(a.transpose(1, 2).reshape(n, t, width)))
        return x + self.drop(self.down(nn.functional.gelu(self.up(self.ln2(x)))))


class Decoder(nn.Module):
    """A language model whose last layer shares the weight of the embedding."""

    def __init__(self, words: int = 50, width: int = 16, depth: int = 2, length: int = 8) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, 2) for _ in range(depth))
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.words.weight

    def forward(self, i: Any) -> Any:
        x = self.words(i) + self.places(torch.arange(i.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Images(nn.Module):
    """Convolutions, batch norm in training, writes into arrays, two inputs and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, stride=2, bias=False)
        self.norm, self.act = nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.second, self.pool = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.MaxPool2d(2)
        self.last = nn.Linear(32, 5)

    def forward(self, x: Any, scale: Any) -> Any:
        x = self.act(self.norm(self.first(x)))
        x = self.pool(x + self.second(x)).flatten(1)
        x += scale
        y = x.clone()
        y[:, 0] = x[:, 1] * 2
        return {"scores": torch.log_softmax(self.last(y), -1), "features": y}


class Norm(torch.autograd.Function):
    """Root-mean-square norm with its own backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
        ctx.save_for_backward(x, weight, scale)
        return x * scale * weight

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (g,) = grads
        x, weight, scale = ctx.saved_tensors
        by_weight = (g * x * scale).sum(0)
        g = g * weight
        return scale * g - scale**3 * x * (g * x).mean(-1, keepdim=True), by_weight


class WrongNorm(Norm):
    """Sums where the mean belongs."""

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (g,) = grads
        x, weight, scale = ctx.saved_tensors
        by_weight = (g * x * scale).sum(0)
        g = g * weight
        return scale * g - scale**3 * x * (g * x).sum(-1, keepdim=True), by_weight


class MaskedMean(torch.autograd.Function):
    """The mean of the entries that a mask keeps; the backward pass forgets the mask."""

    @staticmethod
    def forward(ctx: Any, x: Any, mask: Any) -> Any:
        ctx.save_for_backward(x, mask)
        return (x * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, mask = ctx.saved_tensors
        return (grads[0] / mask.sum(-1, keepdim=True)).expand_as(x), None


class StaleScale(torch.autograd.Function):
    """Division by the largest entry of the batch; the backward pass uses a stored scale."""

    @staticmethod
    def forward(ctx: Any, x: Any, running: Any) -> Any:
        ctx.save_for_backward(running)
        return x / x.detach().square().mean().sqrt()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (running,) = ctx.saved_tensors
        return grads[0] / running, None


class Custom(nn.Module):
    """A custom function as a module with a weight, if it has one."""

    def __init__(self, function: Any, *buffers: Any, width: int = 0) -> None:
        super().__init__()
        self.function = function
        for k, x in enumerate(buffers):
            self.register_buffer(f"buffer{k}", x)
        if width:
            self.weight = nn.Parameter(torch.randn(width))

    def forward(self, x: Any) -> Any:
        return self.function.apply(x, *self.parameters(), *self.buffers())


class Experts(nn.Module):
    """Attention with grouped queries, then a product of each group of rows with a matrix of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 8, 8))

    def forward(self, q: Any, k: Any) -> Any:
        x = nn.functional.scaled_dot_product_attention(q, k, k, enable_gqa=True)
        counts = torch.histc(torch.tensor([0.0, 1, 1, 1, 0, 1, 1, 1]), bins=2, min=0, max=1)
        offsets = torch.cumsum(counts, 0).to(torch.int32)
        return torch.nn.functional.grouped_mm(x.reshape(8, 8), self.weight, offs=offsets)


class Spectrum(nn.Module):
    """A filter of complex weights, and the magnitudes and angles of what passes it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, dtype=torch.complex64))
        self.last = nn.Linear(3, 2)

    def forward(self, x: Any) -> Any:
        z = torch.fft.rfft(x) @ self.weight
        return self.last((z * z.conj()).real) + torch.angle(z[:, :2])


class WrongProduct(torch.autograd.Function):
    """A product of complex numbers whose backward pass forgets a conjugate."""

    @staticmethod
    def forward(ctx: Any, z: Any, weight: Any) -> Any:
        ctx.save_for_backward(z, weight)
        return z * weight

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        z, weight = ctx.saved_tensors
        return grads[0] * weight.conj(), (grads[0] * z).sum(0)


class Lengths(nn.Module):
    """A recurrent layer over sequences of several lengths."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any, lengths: Any) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths)
        return nn.utils.rnn.pad_packed_sequence(self.layer(packed)[0])[0]


def modules_of(net: Any, inputs: Any, **options: Any) -> Report:
    return report_by_inputs(net, None, inputs, **{"modules": True, "layouts": False, "repeat": 1, **options})


def faulty(report: Report) -> list[str]:
    return [one.name for one in report.modules if one.verdict.fails]


MODELS = {
    "decoder": lambda: (Decoder(), (torch.randint(0, 50, (2, 8)),)),
    "images": lambda: (Images(), (torch.randn(2, 3, 8, 8), torch.randn(32))),
    "recurrent": lambda: (nn.GRU(4, 5), (torch.randn(6, 2, 4),)),
    "lstm": lambda: (nn.LSTM(4, 5, 2, bidirectional=True, batch_first=True), (torch.randn(2, 6, 4),)),
    "lstm of lengths": lambda: (Lengths(nn.LSTM(4, 5)), (torch.randn(6, 2, 4), torch.tensor([6, 3]))),
    "gru of lengths": lambda: (Lengths(nn.GRU(4, 5)), (torch.randn(6, 2, 4), torch.tensor([6, 3]))),
    "complex": lambda: (Spectrum(), (torch.randn(3, 6),)),
    "attention": lambda: (nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0), (torch.randn(5, 2, 8),)),
    "experts": lambda: (Experts(), (torch.randn(1, 4, 2, 8), torch.randn(1, 2, 2, 8))),
    "custom": lambda: (nn.Sequential(nn.Linear(6, 8), Custom(Norm, width=8), nn.Linear(8, 3)), (torch.randn(4, 6),)),
}


@pytest.mark.parametrize("name", MODELS)
def test_that_a_correct_model_is_not_accused_and_nothing_is_left_out(name: str) -> None:
    net, inputs = MODELS[name]()
    report = modules_of(net, inputs)
    assert not report.failures
    assert [one.unchecked for one in report.modules if one.unchecked] == []
    assert {one.name for one in report.modules} <= {name for name, _ in net.named_modules()}


@pytest.mark.parametrize(
    ("function", "buffers", "width", "argument"),
    [
        (WrongNorm, (), 8, "x"),
        (MaskedMean, (torch.tensor([1.0, 0, 1, 1, 0, 1, 1, 0]),), 0, "x"),
        (StaleScale, (torch.tensor(1.5),), 0, "x"),
    ],
)
def test_that_a_fault_in_one_module_is_named_with_module_and_argument(
    function: Any, buffers: Any, width: int, argument: str
) -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.Sequential(nn.Tanh(), Custom(function, *buffers, width=width)), nn.Tanh())
    report = modules_of(net, (torch.randn(4, 6),))
    assert faulty(report) == ["1.1"]
    (fault,) = next(one.faults for one in report.modules if one.verdict.fails)
    assert fault.startswith(f"1.1: {function.__name__}.backward")
    assert fault.endswith(f"returns a wrong gradient of {argument}")


def test_that_a_missing_conjugate_inside_a_model_is_found() -> None:
    class Filter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, dtype=torch.complex64))

        def forward(self, x: Any) -> Any:
            return WrongProduct.apply(torch.fft.rfft(x), self.weight).abs()

    report = modules_of(nn.Sequential(nn.Linear(5, 6), Filter()), (torch.randn(3, 5),))
    assert faulty(report) == ["1"]
    (fault,) = next(one.faults for one in report.modules if one.verdict.fails)
    assert "WrongProduct.backward" in fault
    assert fault.endswith("returns a wrong gradient of weight, 1.weight")


def test_that_a_hook_that_changes_a_gradient_is_found() -> None:
    class Hooked(nn.Module):
        def forward(self, x: Any) -> Any:
            y = x * 2
            y.register_hook(lambda g: g * 0.999)
            return y

    report = modules_of(nn.Sequential(nn.Linear(3, 4), Hooked()), (torch.randn(2, 3),))
    assert faulty(report) == ["1"]


def test_that_check_raises_with_the_table_and_names_the_module() -> None:
    net = nn.Sequential(nn.Linear(6, 8), Custom(WrongNorm, width=8))
    with pytest.raises(Disagreement, match=r"1: WrongNorm\.backward"):
        check(net, inputs=(torch.randn(4, 6),), modules=True)


def test_that_without_the_option_a_small_model_has_no_table() -> None:
    assert check(nn.Linear(3, 2), inputs=(torch.randn(4, 3),)).modules == []


def test_that_a_large_model_is_judged_by_its_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradagree.functions.models.LARGE", 10)
    report = check(nn.Linear(5, 4), inputs=(torch.randn(3, 5),))
    assert [record.label for record in report.records] == [
        "gradient of args[0]", "gradient of weight", "gradient of bias",
    ]  # fmt: skip
    assert [one.name for one in report.modules] == [""]
    assert check(nn.Linear(5, 4), inputs=(torch.randn(3, 5),), modules=False).modules == []


def test_that_one_wrong_entry_of_a_large_product_is_found() -> None:
    rng = np.random.default_rng(SEED)
    x, y = (rng.standard_normal(shape).astype(np.float32) for shape in ((300, 40), (40, 500)))
    z = x @ y
    found = check_product(x, y, None, z, model("float32"))
    assert isinstance(found, ArrayFinding)
    assert found.ratio < 1
    z[123, 456] *= np.float32(1 + 2e-5)
    beyond = check_product(x, y, None, z, model("float32"))
    assert isinstance(beyond, Tally)
    assert beyond.entry == (123, 456)
    assert worst_entry(x, y, z, beyond, model("float32")).verdict.fails


def test_that_a_report_with_modules_is_written_and_read() -> None:
    report = modules_of(nn.Linear(3, 2), (torch.randn(4, 3),))
    assert Report.from_json(report.to_json()).modules == report.modules


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_that_other_dtypes_are_checked(dtype: str) -> None:
    report = modules_of(nn.Sequential(nn.Linear(6, 8), nn.ReLU()), (np.ones((4, 6)) / 3,), dtypes=dtype)
    assert not report.failures
    assert report.modules


@pytest.mark.parametrize(
    ("net", "inputs", "options", "text"),
    [
        (nn.Linear(3, 2), (torch.ones(4, 5),), {}, "cannot be run with these arguments"),
        (nn.Linear(3, 2), (torch.full((4, 3), np.nan),), {}, "holds NaN or infinity"),
        (nn.Linear(3, 2), (torch.ones(4, 3),), {"order": 2}, "first derivatives in reverse mode"),
        (nn.Linear(3, 2), (torch.ones(4, 3),), {"wrt": "bais"}, "bias"),
        (nn.Linear(3, 2), (torch.ones(4, 3),), {"modules": "yes"}, "modules='yes': give True"),
    ],
)
def test_that_bad_input_is_refused_in_one_sentence(net: Any, inputs: Any, options: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        modules_of(net, inputs, **options)
    assert "\n" not in str(caught.value)


def test_that_the_page_has_a_tree_that_is_open_at_the_faulty_module() -> None:
    net = nn.Sequential(
        nn.Sequential(nn.Linear(6, 8), nn.Tanh()), nn.Sequential(nn.Tanh(), Custom(WrongNorm, width=8))
    )  # fmt: skip
    page = function_page(modules_of(net, (torch.randn(4, 6),)))
    summaries = re.findall(r"<details class=\"module\"( open)?><summary>.*?<code>(.*?)</code>", page, re.DOTALL)
    assert {name: bool(is_open) for is_open, name in summaries} == {"(model)": True, "0": False, "1": True}
    assert "WrongNorm.backward" in page


def test_that_a_bias_whose_gradient_cancels_is_undecided_and_not_accused() -> None:
    net = nn.Sequential(nn.Linear(300, 400), nn.BatchNorm1d(400))
    report = modules_of(net, (torch.randn(16, 300),))
    assert {one.name: one.verdict.value for one in report.modules} == {"0": "undecided", "1": "agree"}


def test_that_an_input_without_entries_is_no_obstacle() -> None:
    class Two(nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return x * 2, y * 3

    assert [one.verdict.value for one in modules_of(Two(), (torch.randn(3), torch.zeros(0))).modules] == ["agree"]


class WrongSum(torch.autograd.Function):
    """A sum whose backward pass is off by less than a part in a million."""

    @staticmethod
    def forward(_: Any, x: Any, y: Any) -> Any:
        return x + y

    @staticmethod
    def backward(_: Any, *grads: Any) -> Any:
        return grads[0], grads[0] * (1 + 8e-7)


class Scaled(nn.Module):
    """A product and a sum; a hook of the product changes what it passes on in the last digits."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.weight, self.factor = nn.Parameter(torch.randn(6)), factor

    def forward(self, x: Any) -> Any:
        y = self.weight.expand(4, 6) * x
        y.register_hook(lambda g: g * self.factor)
        return WrongSum.apply(x, y) if self.factor == 1 else x + y


@pytest.mark.parametrize("factor", [1.0, 1 - 1e-6])
def test_that_sums_and_products_are_checked_to_the_last_digits(factor: float) -> None:
    report = modules_of(Scaled(factor), (torch.randn(4, 6),))
    assert faulty(report) == [""]


def test_that_a_correct_sum_and_product_are_rounded_once() -> None:
    class Plain(nn.Module):
        def forward(self, x: Any, y: Any, z: Any) -> Any:
            return x * y - z

    (one,) = modules_of(Plain(), tuple(torch.randn(3, 4, 6))).modules
    assert one.verdict.value == "agree"
    assert one.sharpness == model("float32").u
