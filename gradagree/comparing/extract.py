"""An extract: what a comparison needs of a results folder, one line of JSON for each case, small enough for git."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gradagree.comparing.side import Judged, Key, Side
from gradagree.errors import UsageError
from gradagree.files import write_text
from gradagree.reporting.rows import short_number
from gradagree.reporting.texts import value_of, visible
from gradagree.verdict import ORDER, Record, Verdict

__all__ = ["MOST_BYTES", "read_extract", "write_extract"]

SCHEMA = 1
MOST_BYTES = 4_000_000
"""Cases beyond so many bytes are left out and counted, those that plainly agree first."""
TOLD = ("function", "box", "entry", "expected", "expected_radius", "observed", "tolerance", "reason")
VERDICTS = list(Verdict)


def write_extract(side: Side, path: Path) -> int:
    """Write the extract of a side; how many records were left out. Raises UsageError where it cannot be written."""
    cases: dict[str, dict[Key, Judged]] = {}
    for key, judged in side.judged.items():
        cases.setdefault(key.spec, {})[key] = judged
    columns = {(key.framework, key.mode): None for key in side.judged}
    places = {column: place for place, column in enumerate(columns)}
    odd_first = sorted(cases.items(), key=lambda item: all(j.verdict is Verdict.AGREE for j in item[1].values()))
    lines, room, left_out = [], MOST_BYTES, side.left_out
    for spec, found in odd_first:
        line = _dumped([spec, next(iter(found.values())).dtype, *(_told(places, *item) for item in found.items())])
        room -= len(line.encode()) + 1
        if room > 0:
            lines.append(line)
        else:
            left_out += len(found)
    header = {
        "extract": SCHEMA, "of": side.name, "versions": side.versions, "facts": side.facts, "strict": side.strict,
        "columns": list(columns), "slopes": [[*place, sorted(slopes)] for place, slopes in side.slopes.items()],
        "left_out": left_out,
    }  # fmt: skip
    write_text(path, "\n".join([_dumped(header), *lines]) + "\n")
    return left_out


def _dumped(thing: Any) -> str:
    return json.dumps(thing, separators=(",", ":"), ensure_ascii=False)


def _told(places: dict[tuple[str, str], int], key: Key, judged: Judged) -> list[Any]:
    """Column, verdict, three numbers, and where it does not plainly agree what the record says."""
    place = places[key.framework, key.mode]
    numbers = [short_number(x) if x == x else None for x in (judged.ratio, judged.step, judged.sharpness)]
    told = [place, ORDER[judged.verdict], *numbers]
    if judged.record is None:
        return told
    said = {name: getattr(judged.record, name) for name in TOLD if getattr(judged.record, name) not in (None, "")}
    return [*told, said | ({"reason": visible(judged.record.reason)} if judged.record.reason else {})]


def read_extract(path: Path) -> Side:
    """The side in a file. Raises UsageError for anything that is no extract."""
    line = ""
    try:
        with path.open(encoding="utf-8") as file:
            side, columns = _header(path, json.loads(file.readline()))
            for line in file:
                for key, judged in _case(side, columns, json.loads(line)):
                    side.judged[key] = judged
    except OSError as wrong:
        raise UsageError(f"{path} cannot be read: {wrong.strerror}") from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, msgspec.MsgspecError) as wrong:
        where = f" in {visible(line, 60)!r}" if line else ""
        raise UsageError(
            f"{path} is no extract: {visible(wrong, 200)}{where}; make one with: gradagree compare DIR --extract FILE"
        ) from None
    return side


def _header(path: Path, told: Any) -> tuple[Side, list[tuple[str, str]]]:
    if not isinstance(told, dict) or told.get("extract") != SCHEMA:
        raise ValueError("its first line does not say so")
    versions, facts = ({str(k): str(v) for k, v in told[name].items()} for name in ("versions", "facts"))
    slopes = {(str(f), str(m), str(p)): frozenset(map(str, found)) for f, m, p, found in told["slopes"]}
    side = Side(str(path), versions, facts, told["strict"] is True, slopes=slopes, left_out=int(told["left_out"]))
    return side, [(str(framework), str(mode)) for framework, mode in told["columns"]]


def _case(side: Side, columns: list[tuple[str, str]], told: Any) -> Iterator[tuple[Key, Judged]]:
    spec, dtype, *records = told
    for column, verdict, ratio, step, sharpness, *said in records:
        framework, mode = columns[column]
        record = _record(side, spec, dtype, framework, mode, VERDICTS[verdict], ratio, said[0]) if said else None
        numbers = (value_of(ratio), value_of(step), value_of(sharpness))
        yield Key(spec, framework, mode), Judged(VERDICTS[verdict], str(dtype), *numbers, record)


def _record(
    side: Side, spec: str, dtype: str, framework: str, mode: str, verdict: Verdict, ratio: Any, said: dict[str, Any]
) -> Record:
    told = {name: said[name] for name in TOLD if name in said}
    whole = {
        "case": "", "spec": spec, "sha256": "", "framework": framework, "version": side.versions.get(framework, ""),
        "mode": mode, "dtype": dtype, "verdict": str(verdict), "ratio": ratio,
    }  # fmt: skip
    return msgspec.convert(whole | told, Record)
