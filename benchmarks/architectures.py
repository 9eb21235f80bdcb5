"""Graphs of layers: correct gradients of the five families, and planted faults by layer, dtype and depth.

    python -m benchmarks.architectures correct --seconds 120
    python -m benchmarks.architectures detection

Writes its part of ``reports/architectures.json``.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gradagree.adapters import Adapter
from gradagree.cases.architectures import BUILDERS, draw_graph
from gradagree.cases.graph_case import GraphCase
from gradagree.cases.regimes import REGIMES, Source
from gradagree.checker.judge import Framework, judge
from gradagree.checker.response import handshake, respond
from gradagree.checker.verdict import Record
from gradagree.functions import graph_check as graph_check  # judges graphs
from gradagree.reference import ErrorFunction
from gradagree.reference.layer import Layer
from gradagree.runner.known import known_by, mark_known

PAGE = Path(__file__).parents[1] / "reports" / "architectures.json"
DTYPES = ("float64", "float32", "float16", "bfloat16")
DEPTHS = (1, 3, 6, 12, 24)
Wrong = Callable[..., Any]
FAULTS: dict[str, tuple[int, str, Wrong]] = {
    "layer_norm_affine": (0, "delta_x", lambda found, g, x, w, b: g * w / np.sqrt(x.var(-1, keepdims=True) + 2**-10)),
    "rms_norm_scaled": (0, "delta_x", lambda found, g, x, w: g * w / np.sqrt((x * x).mean(-1, keepdims=True) + 2**-10)),
    "batch_norm": (0, "delta_x", lambda found, g, x, w, b: g * w[:, None] / x.std((0, 2), keepdims=True)),
    "group_norm": (1, "dw", lambda found, g, x, w, b: (g * x).sum((0, 2))),
    "instance_norm": (2, "db", lambda found, g, *_: g.mean((0, 2))),
    "multi_head_attention": (1, "dw", lambda found, g, *_: np.roll(found, found.shape[0] // 3, 0)),
    "masked_dropout": (0, "delta_x", lambda found, g, x, kept: g * kept),
    "local_response_norm": (0, "delta_x", lambda found, g, x: g / Layer.named("local_response_norm")._base(x) ** 0.75),
    "residual": (0, "delta_x", lambda found, g, x: found - g),
}
"""For each layer the place and the name of a wrong cotangent, and what it is: a missing term, a wrong scale or axis."""


class InProcess:
    """One framework in this process."""

    def __init__(self, name: str) -> None:
        self.adapter = Adapter.catalogue[name]()
        with self.adapter.settings():
            self.framework = Framework.of(name, handshake(self.adapter))

    def record(self, case: GraphCase, mode: str) -> Record:
        arrays = case.arrays()
        with self.adapter.settings():
            reply = respond(self.adapter, case.problem(arrays), mode)
        return judge(case, arrays, self.framework, reply)


def correct(seconds: float, modes: list[str]) -> dict[str, Any]:
    """The verdicts on correct gradients in all families, distributions and dtypes, and every accusation."""
    frameworks = {name: InProcess(name) for name in dict.fromkeys(mode.partition(":")[0] for mode in modes)}
    errors = [ErrorFunction.catalogue[name]() for name in sorted(ErrorFunction.catalogue)]
    known, counts = known_by(None), collections.Counter[str]()
    families, accused, started = collections.Counter[str](), [], time.monotonic()
    for k, family in ((k, family) for k in itertools.count() for family in BUILDERS):
        if time.monotonic() - started > seconds:
            break
        for place, dtype in enumerate(DTYPES):
            regime = [*REGIMES][(k + place) % len(REGIMES)]
            case = draw_graph(Source(f"campaign {family} {k}"), family, None, errors, regime, dtype, k)
            for mode in modes:
                name, _, own = mode.partition(":")
                record = mark_known(frameworks[name].record(case, own), known, case)
                counts["known" if record.known else record.verdict.value] += 1
                families[family] += 1
                if record.verdict.fails and not record.known:
                    what = [record.framework, record.mode, record.dtype, record.function, record.entry, record.reason]
                    accused.append([record.verdict.value, *what, record.expected_radius is not None, record.spec])
    return {"records": sum(counts.values()), "verdicts": counts, "families": families, "accused": accused}


def planted(layer: Layer, place: int, wrong: Wrong) -> Layer:
    """The layer in torch, with its own vjp as the backward pass, one cotangent of which is wrong."""
    import torch

    class Planted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arrays: Any) -> Any:
            ctx.save_for_backward(*arrays)
            return layer.torch(*arrays, torch=torch)  # type: ignore[attr-defined]

        @staticmethod
        def backward(ctx: Any, *gs: Any) -> Any:
            given = [z.double().numpy() if z.is_floating_point() else z.numpy() for z in ctx.saved_tensors]
            g = gs[0].double().numpy()
            found = list(layer.vjp(g, *given))
            found[place] = wrong(found[place], g, *given)
            return tuple(None if z is None else torch.tensor(np.ascontiguousarray(z)).to(gs[0].dtype) for z in found)

    kind = type("_Planted", (type(layer),), {"torch": lambda self, *arrays, torch: Planted.apply(*arrays)})
    return kind(**{field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)})  # type: ignore[arg-type]


def detection() -> Iterator[dict[str, Any]]:
    """For each layer, dtype and depth: whether the fault is found, named with its array, and the right layer passes."""
    torch, loss, known = InProcess("torch"), [ErrorFunction.named("mse")], known_by(None)
    for name, (place, label, wrong) in FAULTS.items():
        right = Layer.named(name)
        for dtype, depth in itertools.product(DTYPES, DEPTHS):
            found = {}
            for what, layer in (("wrong", planted(right, place, wrong)), ("right", right)):
                source = Source(f"detection {name} {depth}")
                case = draw_graph(source, "residual", None, loss, "ordinary", dtype, depth, depth, layer)
                found[what] = mark_known(torch.record(case, "backward"), known, case)
            one = found["wrong"]
            yield {
                "layer": name, "dtype": dtype, "depth": depth, "found": one.verdict.fails,
                "named": one.verdict.fails and one.function == name and str(one.entry).partition("[")[0] == label,
                "sharpness": one.sharpness, "accused": found["right"].verdict.fails and not found["right"].known,
            }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["correct", "detection"])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--modes", default="torch:backward")
    options = parser.parse_args()
    found: Any = [*detection()] if options.part == "detection" else correct(options.seconds, options.modes.split(","))
    page = json.loads(PAGE.read_text()) if PAGE.exists() else {}
    PAGE.write_text(json.dumps(page | {options.part: found}, indent=1) + "\n")
    if options.part == "detection":
        for depth in DEPTHS:
            rows = [row for row in found if row["depth"] == depth]
            print(
                depth,
                *(f"{what} {sum(row[what] for row in rows)}/{len(rows)}" for what in ("found", "named", "accused")),
            )
    else:
        print(found["records"], dict(found["verdicts"]))


if __name__ == "__main__":
    main()
