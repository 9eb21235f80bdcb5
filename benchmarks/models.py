"""The time and memory of the check of a whole model, beside the model's own forward and backward pass.

    OMP_NUM_THREADS=2 python -m benchmarks.models [--models alexnet,gpt2] [--size 1.0] [--batch N]
    OMP_NUM_THREADS=2 python -m benchmarks.models --models jax-alexnet --size 0.33
    python -m benchmarks.models --models transformers [--out reports/models.json]

The models have the shapes of AlexNet (61 million weights) and GPT-2 small (124 million weights, 128 tokens), in plain
modules of PyTorch with random weights. Times are those of the processor, so that other processes count little; memory
is the largest resident memory beyond that of the model's own pass. The groups `transformers` and `jax` are small models
of other packages, for which no model may be accused and no operation be unknown.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.model_survey import NEEDED, missing, survey, table, write_rows
from gradagree import Report
from gradagree.adapters.function_adapters import adapter_of
from gradagree.functions.models import check_model

SEED = 20240607


class AlexNet(nn.Module):
    """The shape of AlexNet in one column, with widths multiplied by a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()

        def wide(n: int) -> int:
            return max(8, int(n * factor) // 8 * 8)

        widths = [wide(n) for n in (64, 192, 384, 256, 256)]
        self.features = nn.Sequential(
            nn.Conv2d(3, widths[0], 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(widths[0], widths[1], 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(widths[1], widths[2], 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(widths[2], widths[3], 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(widths[3], widths[4], 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        hidden = wide(4096)
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(36 * widths[4], hidden), nn.ReLU(inplace=True),
            nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 1000),
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> Any:
        return self.classifier(self.features(images).flatten(1))


class Block(nn.Module):
    """Attention and a feed-forward network, each after a layer norm and beside a residual connection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> Any:
        n, tokens, width = x.shape
        split = self.attention(self.ln_1(x)).split(width, -1)
        q, k, v = (z.view(n, tokens, self.heads, width // self.heads).transpose(1, 2) for z in split)
        found = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(found.transpose(1, 2).reshape(n, tokens, width))
        return x + self.down(F.gelu(self.up(self.ln_2(x)), approximate="tanh"))


class LanguageModel(nn.Module):
    """The shape of GPT-2, whose last layer shares the weight of the embedding."""

    def __init__(
        self, words: int = 50257, width: int = 768, depth: int = 12, heads: int = 12, tokens: int = 128
    ) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(tokens, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.ln = nn.LayerNorm(width)
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.words.weight

    def forward(self, tokens: torch.Tensor) -> Any:
        x = self.words(tokens) + self.places(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln(x))


def alexnet(size: float, batch: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return AlexNet(size**0.5), (torch.randn(batch, 3, 224, 224),)


def gpt2(size: float, batch: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    words, depth = int(50257 * size**0.5), max(1, round(12 * size**0.5))
    width = max(64, int(768 * size**0.5) // 64 * 64)
    model = LanguageModel(words, width, depth, width // 64)
    return model, (torch.randint(0, words, (batch, 128)),)


def jax_alexnet(size: float, batch: int) -> tuple[Any, tuple[Any, ...]]:
    from benchmarks import jax_models

    return jax_models.alexnet(size, batch)


MODELS: dict[str, Callable[[float, int], tuple[Any, tuple[Any, ...]]]] = {
    "alexnet": alexnet, "gpt2": gpt2, "jax-alexnet": jax_alexnet,
}  # fmt: skip


def weights_and_passes(name: str, model: Any, inputs: tuple[Any, ...]) -> tuple[int, float]:
    """(the number of weights of a model, the time of its passes)."""
    if not name.startswith("jax"):
        return sum(x.numel() for x in model.parameters()), passes(model, inputs)
    import jax

    from benchmarks import jax_models

    return sum(x.size for x in jax.tree_util.tree_leaves(inputs[0])), jax_models.passes(model, inputs)


def passes(model: nn.Module, inputs: Sequence[torch.Tensor]) -> float:
    """The time of the forward and the backward pass, the smallest of three."""
    times = []
    for _ in range(3):
        started = time.process_time()
        y = model(*inputs)
        y.backward(torch.ones_like(y))
        times.append(time.process_time() - started)
        model.zero_grad(set_to_none=True)
    return min(times)


def memory() -> float:
    """The largest resident memory of the process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(name: str, size: float, batch: int) -> Report:
    """Check one model, and print a line with the figures."""
    torch.manual_seed(SEED)
    model, inputs = MODELS[name](size, batch)
    small = nn.Linear(2, 2), (torch.ones(1, 2),)
    check_model(adapter_of(*small, {}), *small, {})  # imports what checks need
    (weights, own), before = weights_and_passes(name, model, inputs), memory()
    started = time.process_time()
    report = check_model(adapter_of(model, inputs, {}), model, inputs, {})
    taken = time.process_time() - started
    entries = sum(one.entries for one in report.modules)
    unchecked = sum(len(one.unchecked) for one in report.modules)
    print(f"{name}: {weights / 1e6:.1f} million weights, batch {batch}: {report.verdict.value},", end=" ")
    print(f"{entries / 1e6:.1f} million entries, {unchecked} operations not checked; own pass {own:.2f} s,", end=" ")
    print(f"check {taken:.2f} s = {taken / own:.1f} times; {before:.2f} GiB, {memory() - before:.2f} GiB beside it")
    return report


def print_survey(group: str, out: Path | None) -> None:
    """Check the models of a group, and print their table."""
    rows = []
    for row in survey(group):
        rows.append(row)
        print(row.line(), *(f"    {text}" for text in (*row.faults, *row.notes)), sep="\n", flush=True)
    print("", *table(rows), sep="\n")
    if out is not None:
        write_rows(out, group, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="alexnet,gpt2", help="names separated by commas")
    parser.add_argument("--size", type=float, default=1.0, help="share of the weights (default: 1)")
    parser.add_argument("--batch", type=int, default=0, help="examples (default: 8 images, 1 text)")
    parser.add_argument("--table", action="store_true", help="print the table of modules")
    parser.add_argument("--out", type=Path, help="write the rows of groups to this report")
    given = parser.parse_args()
    for name in given.models.split(","):
        if name in NEEDED:
            if absent := missing(name):
                parser.error(f"--models {name} needs {', '.join(absent)}: pip install {' '.join(absent)}")
            print_survey(name, given.out)
            continue
        if name not in MODELS:
            parser.error(f"--models {name}: give some of {', '.join([*MODELS, *NEEDED])}")
        report = measure(name, given.size, given.batch or (8 if name.endswith("alexnet") else 1))
        if given.table:
            print(report)


if __name__ == "__main__":
    main()
