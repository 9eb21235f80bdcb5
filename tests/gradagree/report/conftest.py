"""Records as a run writes them, made from a seed."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradagree.checker.verdict import Record, Verdict

ACTIVATIONS = (
    "tanh", "sigmoid", "relu", "leaky_relu(negative_slope=0.25)", "elu", "softplus", "silu", "gelu", "gelu_tanh",
    "hardtanh", "softsign",
)  # fmt: skip
ERRORS = ("sse", "mse", "huber", "bce_logits", "cross_entropy")
REGIMES = ("ordinary", "grid", "zeros")
DTYPES = {"float64": ("f64", 2e-15), "float32": ("f32", 1e-6)}
COLUMNS = (("torch", "2.13.0+cpu", "backward"), ("jax", "0.10.2", "jit"), ("jax", "0.10.2", "grad"))
REASONS = {
    Verdict.CRASHED: "RuntimeError: expected scalar type Float but found Double",
    Verdict.TIMEOUT: "no answer within 60 s",
    Verdict.INACCURATE: "131 times what the formula's own rounding may lose",
    Verdict.CONVENTION: "slope at the kink: mean",
    Verdict.UNSUPPORTED: "Swish has no method 'jax': add `def jax(self, p, jax)` to it",
    Verdict.ABSENT: "not installed: pip install gradagree[jax]",
}
LOUD = [verdict for verdict in Verdict if verdict.fails or verdict is Verdict.INACCURATE]
TRAINED = ("reference", "torch", "jax")
Make = Callable[..., list[Record]]


def make_records(
    cases: int = 20, seed: int = 7, odd: Mapping[Verdict, float] | None = None, columns: Sequence[Any] = COLUMNS
) -> list[Record]:
    """So many cases in every dtype and column; odd gives the probability of each verdict that is not agree."""
    return list(_records(cases, random.Random(seed), odd or {}, columns))


def _records(
    cases: int, source: random.Random, odd: Mapping[Verdict, float], columns: Sequence[Any]
) -> Iterator[Record]:
    for index in range(cases):
        depth = source.randint(1, 6)
        widths = "-".join(str(source.choice((1, 2, 4, 8, 16, 32))) for _ in range(depth + 1))
        functions = ["id", *(source.choice(ACTIVATIONS) for _ in range(depth - 1))]
        error, regime, number = source.choice(ERRORS), REGIMES[index % len(REGIMES)], source.randrange(10**9)
        for dtype, (short, scale) in DTYPES.items():
            spec = f"{widths}:{','.join(functions)}:{error}:n8:{short}:{regime}:s{number}"
            for framework, version, mode in columns:
                verdict = _drawn(source, odd)
                common = {"index": index, "case": f"{number % 1_000_000:06d}", "spec": spec, "sha256": "0" * 64}
                side = {"framework": framework, "version": version, "mode": mode, "dtype": dtype, "verdict": verdict}
                guilty = {"box": source.randint(1, depth), "function": source.choice(functions)}
                yield Record(**common, **side, **_numbers(source, verdict, scale * 2**depth, guilty))


def _drawn(source: random.Random, odd: Mapping[Verdict, float]) -> Verdict:
    at = source.random()
    for verdict, probability in odd.items():
        at -= probability
        if at < 0:
            return verdict
    return Verdict.AGREE


def _numbers(source: random.Random, verdict: Verdict, scale: float, guilty: dict[str, Any]) -> dict[str, Any]:
    """What a record with that verdict measures; scale is the size of its sharpness."""
    reason = REASONS.get(verdict, "")
    if verdict in (Verdict.CRASHED, Verdict.TIMEOUT) or not verdict.compared:
        return {"reason": reason}
    expected, tolerance = source.gauss(0, 1), scale * source.lognormvariate(0, 1)
    ratio = min(source.lognormvariate(-4, 1.2), 1.0)
    if verdict.fails:
        ratio = 1 + source.lognormvariate(2, 3)
    sharpness = 1.5 if verdict is Verdict.UNDECIDED else tolerance
    entry = source.choice(("dw[2,0]", "db[1]", "delta_p[3,1]"))
    numbers = {
        "expected": expected.hex(), "expected_radius": (tolerance / 4096).hex(), "tolerance": tolerance.hex(),
        "observed": "nan" if verdict is Verdict.NONFINITE else (expected + ratio * tolerance).hex(),
    }  # fmt: skip
    shown = {"ratio": "inf" if verdict is Verdict.NONFINITE else ratio, "sharpness": sharpness, "share": 0.98}
    shown |= guilty | {"entry": "c[0,1]" if verdict is Verdict.VALUE_DIFFERS else entry}
    return shown | {"reason": reason, "seconds": 0.004} | (numbers if verdict is not Verdict.AGREE else {})


META: dict[str, Any] = {
    "schema": 1, "gradagree": "0.1.0", "command": "gradagree run --cases 20 --seed 7", "seed": 7,
    "started": "2026-11-22T08:00:00Z", "seconds": 61.2, "cases": 20, "strict": False,
    "platform": {"system": "Linux", "machine": "x86_64", "python": "3.11.7", "numpy": "2.4.6", "scipy": "1.17.1"},
    "options": {"dtypes": ["float64", "float32"], "regimes": ["ordinary", "grid", "zeros"]},
    "frameworks": {
        name: {
            "installed": True, "version": version, "device": "cpu", "reason": "",
            "probes": {
                dtype: {
                    "accumulator": dtype,
                    "biases": dtype,
                    "flushes": name == "jax",
                    "fast_math": False,
                    "exact": True,
                }
                for dtype in DTYPES
            },
        }
        for name, version in (("torch", "2.13.0+cpu"), ("jax", "0.10.2"))
    } | {"mx": {"installed": False, "reason": "not installed: pip install mx"}},
}  # fmt: skip
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "\"'> onload=alert(1) '\"",
    "a|b\\|c`d``e",
    "[click](javascript:alert(1)) ![x](http://evil.example/y)",
    "@everyone www.evil.example https://evil.example",
    "\x1b[31mred\x07\x00 \u202e\ufffe",
    "]]> &lt; &#60; {{ 7 * 7 }} {% raw %}",
    "[bold red]x[/] :boom:",
    "two\nlines\r\n# not a heading",
)
ALL_ODD = {verdict: 0.02 for verdict in Verdict if verdict is not Verdict.AGREE}


def write_run(folder: Path, records: Sequence[Record], meta: Mapping[str, Any] = META) -> Path:
    """A results folder with these records."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    lines = [msgspec.json.encode(record) + b"\n" for record in records]
    (folder / "results.jsonl").write_bytes(b"".join(lines))
    return folder


@pytest.fixture
def make() -> Make:
    """Makes records from a seed."""
    return make_records


@pytest.fixture
def every_verdict() -> list[Record]:
    """Records among which each verdict occurs."""
    return make_records(cases=120, odd=ALL_ODD)


@pytest.fixture
def hostile() -> list[Record]:
    """Records in which every text is an attack, with every verdict."""
    return [
        Record(
            case=name, spec=f"2-2:{name}:{name}:n1:f64:{name}:s1", sha256=name, framework=name, version=name, mode=name,
            device=name, dtype=name, verdict=verdict, function=name, box=name, entry=name, reason=name, ratio=name,
            sharpness=name, expected=name, observed=name, tolerance=name, expected_radius=name,
        )
        for name in HOSTILE
        for verdict in Verdict
    ]  # fmt: skip


@pytest.fixture
def hostile_meta() -> dict[str, Any]:
    """A meta in which every text is an attack."""
    probes = {
        name: {"accumulator": name, "biases": name, "flushes": True, "fast_math": True, "exact": False}
        for name in HOSTILE
    }
    frameworks = {name: {"installed": k % 2 == 0, "reason": name, "probes": probes} for k, name in enumerate(HOSTILE)}
    texts = {name: name for name in HOSTILE}
    return {
        "command": HOSTILE[0], "seed": HOSTILE[1], "started": HOSTILE[4], "platform": texts, "options": texts,
        "plan": dict.fromkeys(HOSTILE, 7), "frameworks": frameworks,
    }  # fmt: skip


@pytest.fixture
def meta() -> dict[str, Any]:
    return json.loads(json.dumps(META))


@pytest.fixture
def run_folder() -> Callable[..., Path]:
    """Writes a results folder."""
    return write_run


@pytest.fixture
def train() -> Callable[..., dict[str, Any]]:
    return make_training


def make_training(records: Sequence[Record] = (), seed: int = 7, widths: Any = (3, 2, 4), rounds: int = 5) -> Any:
    """What train.json holds of a training at whose checkpoints these records were judged."""
    source = random.Random(seed)
    rows = [[source.gauss(0, 1) for _ in range(n)] for n in (*widths, *widths)]
    weights = [[[source.gauss(0, 1) for _ in range(m)] for _ in range(n)] for n, m in itertools.pairwise(widths)]
    track = {key: [source.random() for _ in range(rounds + 1)] for key in ("error", "accuracy")}
    example = {"inputs": rows[: len(widths)], "sensitivities": rows[len(widths) :], "decision": 3, "right": 1}
    return json.loads(json.dumps({
        "dataset": "diabetes", "widths": list(widths), "activations": ["id", "tanh"], "error": "sse",
        "biases": False, "rate": 0.01, "way": "stochastic", "pairs": 342, "held_out": 100, "steps": 20520, "every": 500,
        "stopped": dict.fromkeys(TRAINED, "out of rounds"), "curves": dict.fromkeys(TRAINED, track),
        "checkpoints": [{"step": 500 * k, "round": k, "spec": s} for k, s in enumerate({r.spec: 0 for r in records})],
        "network": {"weights": weights, "example": example | {"target": [0, 1, 0, 0]}},
    }))  # fmt: skip
