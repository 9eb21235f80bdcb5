"""The tables of the page, from the rows of the published JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.detection.faults import KINDS, STRUCTURAL
from benchmarks.detection.networks import DEPTHS

TARGETS = {"float64": 1e-14, "float32": 3e-6, "float16": 5e-3, "bfloat16": 0.03}
"""The smallest fault that gradagree is to find, as a share of the box's largest entry: the median, at any depth."""
Rows = list[dict[str, Any]]
NONE, NOT_RUN = "–", "not run"


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *body)]
    return "\n".join(lines)


def chosen(rows: Rows, **values: Any) -> Rows:
    return [found for found in rows if all(found[name] == value for name, value in values.items())]


def tools(rows: Rows) -> list[tuple[str, str]]:
    """Tool and settings, in the order of the results."""
    return list(dict.fromkeys((found["tool"], found["settings"]) for found in rows))


def dtypes(rows: Rows) -> list[str]:
    return list(dict.fromkeys(found["dtype"] for found in rows))


def measured(rows: Rows, family: str) -> str:
    """The depths or sizes that there are rows of: 1, 5 and 20."""
    *others, last = [f"{value:,}" for value in sorted({found["value"] for found in chosen(rows, family=family)})]
    return f"{', '.join(others)} and {last}" if others else last


def median(rows: Rows, part: str, kinds: Iterable[str] = tuple(KINDS)) -> float | None:
    """Of all networks of some rows; infinite where more than half find nothing, None where nothing was run."""
    values = [value for found in rows for kind in kinds for value in found[part].get(kind, [])]
    return statistics.median(math.inf if value is None else value for value in values) if values else None


def short(x: float | None) -> str:
    if x is None:
        return NOT_RUN
    return f"{x:.0e}" if math.isfinite(x) else NONE


def matrix(rows: Rows, cell: Callable[[Rows], str], head: str = "tool, settings") -> str:
    """One row for each tool and its settings, one column for each dtype."""
    body = [
        [", ".join(one), *(cell(chosen(rows, tool=one[0], settings=one[1], dtype=dtype)) for dtype in dtypes(rows))]
        for one in tools(rows)
    ]
    return table([head, *dtypes(rows)], body)


def summary(rows: Rows) -> str:
    """The smallest fault found as a share of the largest entry, over all depths, and beside it eps itself."""
    deep = chosen(rows, family="depth")
    return matrix(deep, lambda some: f"{short(median(some, 'share'))} ({short(median(some, 'smallest'))})")


def targets(rows: Rows) -> str:
    """By dtype: what was aimed at, and the worst depth's median."""
    body = []
    for dtype in dtypes(rows):
        ours = [found for found in chosen(rows, family="depth", dtype=dtype) if found["tool"].startswith("gradagree")]
        medians = [(median(chosen(ours, value=d, tool=t), "share"), d, t) for d in DEPTHS for t, _ in tools(ours)]
        worst, depth, tool = max((m if m is not None else -1.0, d, t) for m, d, t in medians)
        met = "yes" if worst <= TARGETS[dtype] else "no"
        body.append([dtype, f"{TARGETS[dtype]:g}", f"{worst:.1e} (depth {depth}, {tool.split(', ')[1]})", met])
    return table(["dtype", "aim", "worst median", "met"], body)


def along(rows: Rows, family: str, values: Sequence[int]) -> str:
    """One row for each tool and dtype that finds anything, not with its defaults; one column for each depth or size."""
    some = [found for found in chosen(rows, family=family) if found["settings"] != "default"]
    there = [value for value in values if chosen(some, value=value)]
    body = []
    for dtype in dtypes(some):
        for tool, how in tools(some):
            cells = [
                short(median(chosen(some, tool=tool, settings=how, dtype=dtype, value=value), "share"))
                for value in there
            ]
            notes = {found["value"]: found["note"] for found in chosen(some, tool=tool, settings=how, dtype=dtype)}
            cells = [
                notes[value].removeprefix("not run: ") if notes[value] and cell == NOT_RUN else cell
                for value, cell in zip(there, cells, strict=True)
            ]
            if any(cell[:1].isdigit() and cell[-1:].isdigit() for cell in cells):
                body.append([dtype, f"{tool}, {how}", *cells])
    return table(["dtype", "tool, settings", *(f"{value:,}" for value in there)], body)


def counted(some: Rows, fault: str, part: str) -> int:
    return sum(found["structural"].get(fault, {}).get(part, 0) for found in some)


def structural(rows: Rows) -> str:
    """Faults found of faults planted, in float64, tool by tool, with the settings that find the most."""
    some, columns = chosen(rows, family="depth", dtype="float64"), []
    for tool in dict.fromkeys(found["tool"] for found in some):
        ways = [chosen(some, tool=tool, settings=how) for one, how in tools(some) if one == tool]
        columns.append(max(ways, key=lambda way: sum(counted(way, fault.name, "found") for fault in STRUCTURAL)))
    head = ["fault", *(f"{way[0]['tool']}, {way[0]['settings']}" for way in columns)]
    cell = lambda way, name: of(counted(way, name, "found"), counted(way, name, "planted"))  # noqa: E731
    return table(head, [[fault.name, *(cell(way, fault.name) for way in columns)] for fault in STRUCTURAL])


def of(part: int, whole: int) -> str:
    return f"{part}/{whole}" if whole else NOT_RUN


def structural_shares(rows: Rows) -> str:
    """All structural faults: found of planted; for gradagree also found of those above its tolerance."""

    def cell(some: Rows) -> str:
        found, planted, above, above_found = (
            sum(counted(some, fault.name, part) for fault in STRUCTURAL)
            for part in ("found", "planted", "above", "above_found")
        )
        return of(found, planted) + (f" ({of(above_found, above)})" if above else "")

    return matrix(chosen(rows, family="depth"), cell)


def alarms(rows: Rows) -> str:
    """Correct networks accused of those asked about; behind it, those with a number exactly on relu's kink."""

    def cell(some: Rows) -> str:
        smooth, kinks = (
            of(sum(found[f"{k}alarms"] for found in some), sum(found[f"{k}controls"] for found in some))
            for k in ("", "kink_")
        )
        return f"{smooth} · {kinks}"

    return matrix(rows, cell)


def undecided(rows: Rows) -> str:
    """How many correct networks gradagree says nothing about, dtype by dtype."""
    ours = [found for found in rows if found["tool"].startswith("gradagree")]
    some = {dtype: chosen(ours, dtype=dtype) for dtype in dtypes(ours)}
    total = lambda found: found["controls"] + found["kink_controls"]  # noqa: E731
    return ", ".join(
        f"{sum(found['undecided'] for found in cells)} of {sum(map(total, cells))} in {dtype}"
        for dtype, cells in some.items()
    )


def named(rows: Rows) -> str:
    def cell(some: Rows) -> str:
        right, asked = (sum(found["named"][k] for found in some) for k in (0, 1))
        return f"{100 * right / asked:.1f} % of {asked}" if asked else NONE

    return matrix([found for found in rows if found["tool"].startswith("gradagree")], cell)


def times(rows: Rows) -> str:
    """Median seconds of one verdict in float64, by depth."""
    some = chosen(rows, family="depth", dtype="float64")
    there = [value for value in DEPTHS if chosen(some, value=value)]
    body = []
    for tool, how in tools(some):
        taken = [chosen(some, tool=tool, settings=how, value=value)[0]["seconds"] for value in there]
        body.append([f"{tool}, {how}", *(NOT_RUN if x is None else f"{x:.2g}" for x in taken)])
    return table(["tool, settings", *map(str, there)], body)


def tuned(settings: dict[str, dict[str, dict[str, float] | None]]) -> str:
    body = [
        [tool, *("none" if one is None else " / ".join(f"{one[name]:g}" for name in ("eps", "atol", "rtol"))
                 for one in by_dtype.values())]
        for tool, by_dtype in settings.items()
    ]  # fmt: skip
    return table(["tool: eps / atol / rtol", *next(iter(settings.values()))], body)


def told(rows: Rows, part: str) -> list[dict[str, Any]]:
    """Every verdict of gradagree that went wrong in one way, with its tool."""
    return [{**one, "tool": found["tool"]} for found in rows for one in found[part]]
