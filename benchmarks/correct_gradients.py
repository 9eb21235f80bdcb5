"""The campaign on correct gradients: random networks of the six families, in every distribution, dtype and mode.

A part writes one line for each record, so that it can be stopped at any time and resumed. Parts of different numbers
and commits are merged, and accused cases of earlier parts are judged again.
"""

from __future__ import annotations

import collections
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gradagree.adapters import Adapter
from gradagree.cases.architectures import BUILDERS, draw_graph
from gradagree.cases.graph_case import AnyCase, any_problem, parse_case
from gradagree.cases.random import draw as draw_chains
from gradagree.cases.regimes import REGIMES, Source
from gradagree.checker.judge import Framework, JudgeRequest, judge_all
from gradagree.checker.response import handshake, respond
from gradagree.checker.verdict import Record
from gradagree.functions import graph_check as graph_check  # judges graphs
from gradagree.reference import ErrorFunction
from gradagree.runner.known import known_by, mark_known

DTYPES = ("float64", "float32", "float16", "bfloat16")
FAMILIES = ("dense", *BUILDERS)
AGAIN = "again.jsonl"
"""The file of a campaign's folder with accused cases that were judged again."""
SHORT = {"float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16"}


class InProcess:
    """One framework in this process."""

    def __init__(self, name: str) -> None:
        self.adapter = Adapter.catalogue[name]()
        with self.adapter.settings():
            self.framework = Framework.of(name, handshake(self.adapter))

    def request(self, case: AnyCase, arrays: Any, mode: str) -> JudgeRequest:
        """The framework's answer to a case, to be judged."""
        with self.adapter.settings():
            reply = respond(self.adapter, any_problem(case, arrays), mode)
        return JudgeRequest(case, arrays, self.framework, reply)

    def record(self, case: AnyCase, mode: str) -> Record:
        """The record of a case."""
        return next(judge_all([self.request(case, case.arrays(), mode)]))


class Line(NamedTuple):
    """What a part keeps of a record; the text of the case if it is accused, or if it is not decided."""

    k: int
    family: str
    mode: str
    dtype: str
    regime: str
    verdict: str
    function: str | None
    array: str | None
    reason: str
    sharpness: Any
    proved: bool
    spec: str

    @property
    def accused(self) -> bool:
        return bool(self.spec) and self.verdict not in VAGUE


VAGUE = ("undecided", "out-of-range")


class Campaign:
    """The frameworks of some modes, and the records of networks by their number.

    Args:
        modes: Modes such as ``torch:backward``.
        families: Families of networks.
    """

    def __init__(self, modes: Sequence[str], families: Sequence[str] = FAMILIES) -> None:
        self.modes, self.families = list(modes), list(families)
        self.frameworks = {name: InProcess(name) for name in dict.fromkeys(m.partition(":")[0] for m in modes)}
        self.errors = [ErrorFunction.catalogue[name]() for name in sorted(ErrorFunction.catalogue)]
        self.known = known_by(None)

    def case(self, k: int, family: str, place: int) -> AnyCase:
        """Network k of a family in the dtype at this place."""
        regime, dtype = [*REGIMES][(k + place) % len(REGIMES)], DTYPES[place]
        if family == "dense":
            return next(draw_chains(1, 0, (dtype,), regimes=(regime,), start=k))
        return draw_graph(Source(f"campaign {family} {k}"), family, None, self.errors, regime, dtype, k)

    def lines(self, k: int) -> Iterator[Line]:
        """The records of network k of every family, in all dtypes and modes."""
        for family in self.families:
            requests = []
            for place in range(len(DTYPES)):
                case = self.case(k, family, place)
                arrays = case.arrays()
                for mode in self.modes:
                    name, _, own = mode.partition(":")
                    requests.append(self.frameworks[name].request(case, arrays, own))
            for request, record in zip(requests, judge_all(requests), strict=True):
                yield self.line(k, family, request.case, record)

    def line(self, k: int, family: str, case: AnyCase, record: Record) -> Line:
        record = mark_known(record, self.known, case)
        verdict = "known" if record.known else record.verdict.value
        accused = record.verdict.fails and not record.known
        array = record.entry.partition("[")[0] if record.entry else None
        return Line(
            k, family, f"{record.framework}:{record.mode}", record.dtype, case.regime, verdict, record.function, array,
            record.reason, record.sharpness, record.expected_radius is not None,
            record.spec if accused or record.verdict.value in VAGUE else "",
        )  # fmt: skip

    def run(self, seconds: float, start: int, path: Path | None, most: int = 10**9) -> list[Line]:
        """The records of networks from a number on, appended to a file; one that exists is continued.

        seconds and most end the part: the time from now on, and the number of networks of each family.
        """
        found = [] if path is None else resumed(path)
        first = found[-1].k + 1 if found else start
        if path is not None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"commit": commit(), "modes": self.modes, "start": start}) + "\n")
        ending = time.monotonic() + seconds
        for k in range(first, start + most):
            if time.monotonic() > ending:
                break
            lines = [*self.lines(k)]
            found += lines
            if path is not None:
                with path.open("a") as file:
                    file.write("".join(json.dumps(line) + "\n" for line in lines))
        return found


def commit() -> str:
    """The commit of the working tree."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=10", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def resumed(path: Path) -> list[Line]:
    """The records of a part; the last network is left out of the file where it may be incomplete."""
    if not path.exists():
        return []
    head, *rest = path.read_text().splitlines()
    lines = [read for text in rest if (read := decoded(text)) is not None]
    ks = [line.k for line in lines]
    if lines and (len(lines) < len(rest) or ks.count(ks[-1]) < ks.count(ks[0])):
        lines = [line for line in lines if line.k != ks[-1]]
        path.write_text("\n".join([head, *(json.dumps(line) for line in lines)]) + "\n")
    return lines


def decoded(text: str) -> Line | None:
    """A record of a part; None for a line that was not written to its end."""
    try:
        return Line(*json.loads(text))
    except (ValueError, TypeError):
        return None


def parts_of(folder: Path) -> Iterator[tuple[dict[str, Any], list[Line]]]:
    """Each part of a campaign: its head and its records."""
    for path in sorted(folder.glob("part*.jsonl")):
        head, *rest = path.read_text().splitlines()
        yield json.loads(head), [line for text in rest if (line := decoded(text)) is not None]


def judge_again(folder: Path) -> list[list[Any]]:
    """The accused cases of all parts with their verdicts at this commit, noted in the folder."""
    accused = {(line.spec, line.mode): line for _, lines in parts_of(folder) for line in lines if line.accused}
    campaign = Campaign(sorted({mode for _, mode in accused}))
    found = []
    for (spec, mode), line in accused.items():
        name, _, own = mode.partition(":")
        case = parse_case(spec)
        now = campaign.line(line.k, line.family, case, campaign.frameworks[name].record(case, own))
        found.append([spec, mode, line.verdict, now.verdict, now.function, now.array, now.reason, now.proved])
    head = {"commit": commit()}
    (folder / AGAIN).write_text("\n".join(json.dumps(row) for row in [head, *found]) + "\n")
    return found


def table(lines: Sequence[Line], *columns: str) -> list[dict[str, Any]]:
    """The number of records of each verdict, by these columns."""
    counts = collections.Counter((*(getattr(line, name) for name in columns), line.verdict) for line in lines)
    rows: dict[tuple[str, ...], dict[str, int]] = {}
    for (*key, verdict), count in sorted(counts.items()):
        rows.setdefault(tuple(key), {})[verdict] = count
    return [{**dict(zip(columns, key, strict=True)), "verdicts": row} for key, row in rows.items()]


def merged(folder: Path) -> dict[str, Any]:
    """The result of a campaign: verdicts by family, framework, dtype and distribution, and every accusation."""
    parts = [*parts_of(folder)]
    every = [line for _, lines in parts for line in lines]
    again = {}
    if (folder / AGAIN).exists():
        head, *rest = map(json.loads, (folder / AGAIN).read_text().splitlines())
        again = {(row[0], row[1]): {"commit": head["commit"], "verdict": row[3], "reason": row[6]} for row in rest}
    return {
        "records": len(every),
        "verdicts": collections.Counter(line.verdict for line in every),
        "families": collections.Counter(line.family for line in every),
        "parts": [
            {**head, "last": lines[-1].k, "records": len(lines), "accused": sum(line.accused for line in lines)}
            for head, lines in parts if lines
        ],
        "table": table(every, "family", "mode", "dtype"),
        "distributions": table(every, "regime", "dtype"),
        "vague": vague(every),
        "accused": [
            {**line._asdict(), "again": again.get((line.spec, line.mode))} for line in every if line.accused
        ],
    }  # fmt: skip


def vague(lines: Sequence[Line], most: int = 40) -> list[list[Any]]:
    """The operations and arrays that most often leave a record undecided or out of range, with an example."""
    counts = collections.Counter((line.verdict, line.function, line.array) for line in lines if line.verdict in VAGUE)
    found = []
    for key, count in counts.most_common(most):
        mine = [line for line in lines if (line.verdict, line.function, line.array) == key]
        regimes = collections.Counter(f"{line.regime} {SHORT[line.dtype]}" for line in mine).most_common(4)
        found.append([*key, count, dict(regimes), mine[0].spec])
    return found
