"""Random networks: correct gradients of the six families, and planted faults by layer, dtype and depth.

    python -m benchmarks.architectures correct --seconds 120 --start 0 --out FOLDER
    python -m benchmarks.architectures again --out FOLDER
    python -m benchmarks.architectures merge --out FOLDER
    python -m benchmarks.architectures detection

``correct`` appends to the part of the campaign in FOLDER that begins with network 0, and resumes it. ``again`` judges
all accused cases once more, and ``merge`` and ``detection`` write their parts of ``reports/architectures.json``.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.correct_gradients import DTYPES, FAMILIES, Campaign, InProcess, judge_again, merged
from gradagree.adapters import Adapter
from gradagree.cases.architectures import draw_graph
from gradagree.cases.regimes import Source
from gradagree.reference import ErrorFunction
from gradagree.reference.layer import Layer
from gradagree.runner.known import known_by, mark_known

PAGE = Path(__file__).parents[1] / "reports" / "architectures.json"
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


def publish(part: str, found: Any) -> None:
    page = json.loads(PAGE.read_text()) if PAGE.exists() else {}
    PAGE.write_text(json.dumps(page | {part: found}, indent=1) + "\n")


def show_detection() -> None:
    found = [*detection()]
    publish("detection", found)
    for depth in DEPTHS:
        rows = [row for row in found if row["depth"] == depth]
        print(
            depth, *(f"{what} {sum(row[what] for row in rows)}/{len(rows)}" for what in ("found", "named", "accused"))
        )


def refuse_unknown(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with one line where an option names what there is not, before anything is written."""
    modes = [f"{name}:{mode}" for name, adapter in Adapter.catalogue.items() for mode in adapter.modes]
    for option, given, known in (("modes", options.modes, modes), ("families", options.families, FAMILIES)):
        for one in given:
            if one not in known:
                parser.error(f"--{option} {one}: give some of {', '.join(known)}")
    if options.part in ("again", "merge") and not (options.out and [*options.out.glob("part*.jsonl")]):
        parser.error(f"{options.part} needs --out FOLDER, a folder with the parts of a campaign")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["correct", "again", "merge", "detection"])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--modes", default="torch:backward,torch:grad,jax:packed")
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--networks", type=int, default=10**9)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.modes, options.families = options.modes.split(","), options.families.split(",")
    refuse_unknown(parser, options)
    if options.part == "detection":
        show_detection()
    elif options.part == "correct":
        path = options.out and options.out / f"part{options.start:06d}.jsonl"
        campaign = Campaign(options.modes, options.families)
        found = campaign.run(options.seconds, options.start, path, options.networks)
        print(len(found), dict(collections.Counter(line.verdict for line in found)))
        for line in found:
            if line.accused:
                print(*line)
    elif options.part == "again":
        for row in judge_again(options.out):
            print(*row)
    else:
        publish("correct", merged(options.out))


if __name__ == "__main__":
    main()
