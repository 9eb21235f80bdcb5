"""Golden results: the output of the commands, recorded once and compared after a change of the code.

    python -m tools.golden record FOLDER [--quick]    # runs the gradagree that Python finds (PYTHONPATH)
    python -m tools.golden compare OLD NEW            # one line per difference; exit code 1 if there is any

A recording holds runs (random cases and planted faults), a survey, training on both data sets, all pages, the output
of `gradagree list` and every `--help`, and the generated pages of docs/. Verdicts, numbers, findings, names of
options, and the numbers on pages are compared. Times, versions, paths and the wording of messages and pages are not.
"""

from __future__ import annotations

import difflib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import click

from tools.script import start

DTYPES = "float64,float32,float16,bfloat16"
FAST_MODES = "torch:backward,torch:vmap,torch:forward"
RECORDING = "golden.json"
LISTS = ("activations", "errors", "frameworks", "modes", "regimes")
RUN = ("run", "--seed", "2026", "--dtypes", DTYPES, "--shrink", "0", "--known", "none", "--workers", "1")
SURVEYED = ("--activations=relu,tanh,softmax", "--errors=huber", "--frameworks=torch")
GENERATORS = {
    "command-line.md": ("tools.command_page", "tools.command_page"),
    "coverage.md": ("tools.coverage", "tools.coverage"),
    "python.md": ("tools.python_page", "tools.python_page"),
    "record.schema.json": ("tools.record_schema", "tools.record_schema"),
}
"""Each page of docs/ and the modules that print it, of which the first one that exists does."""

FAULTS = '''\
"""Faults to be found: a wrong slope, a wrong value, a slope at a kink, a lost digit, and one that is right."""

import numpy as np

from gradagree import Activation


class WrongSlope(Activation):
    def value(self, p):
        return np.tanh(p)

    def derivative(self, p):
        return 1 - np.tanh(p) ** 2

    def torch(self, p, torch):
        return torch.tanh(p) + 0.125 * (p - p.detach())

    def jax(self, p, jax):
        return jax.numpy.tanh(p)


class WrongValue(WrongSlope):
    def torch(self, p, torch):
        return torch.tanh(p) + 0.125


class LostDigits(Activation):
    def value(self, p):
        return np.expm1(p)

    def derivative(self, p):
        return np.exp(p)

    def torch(self, p, torch):
        return torch.exp(p + 512.0 * torch.ones_like(p)) / torch.exp(512.0 * torch.ones_like(p)) - 1.0

    def jax(self, p, jax):
        return jax.numpy.expm1(p)


class OneSided(Activation):
    kinks = (0.0,)

    def value(self, p):
        return np.maximum(p, 0.0)

    def derivative(self, p):
        return np.where(p > 0, 1.0, 0.0)

    def torch(self, p, torch):
        return torch.where(p >= 0, p, torch.zeros_like(p))

    def jax(self, p, jax):
        return jax.nn.relu(p)
'''


@click.group(no_args_is_help=False)
def main() -> None:
    """Record the output of the commands, and compare two recordings."""


# Recording


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--quick", is_flag=True, help="Few cases, fast modes and a small survey: under a minute.")
def record(folder: Path, quick: bool) -> None:
    """Run the commands and keep their results in FOLDER; an old recording there is replaced."""
    if folder.exists() and any(folder.iterdir()) and not (folder / RECORDING).exists():
        raise click.UsageError(f"{folder} holds other files: name a new folder, or one with a recording to replace")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    codes = {}
    for name, arguments in recorded_commands(quick).items():
        click.echo(f"{name} ...", err=True)
        (folder / "faults.py").write_text(FAULTS, encoding="utf-8")
        codes[name] = _gradagree(folder, name, *arguments)
    for name in LISTS:
        codes[f"list {name}"] = _gradagree(folder, f"list-{name}", "list", name)
    codes["help"] = _gradagree(folder, "help", "--help")
    for name in commands_of((folder / "help.txt").read_text(encoding="utf-8")):
        codes[f"help {name}"] = _gradagree(folder, f"help-{name}", name, "--help")
    _record_pages(folder)
    (folder / RECORDING).write_text(json.dumps({"quick": quick, "codes": codes}, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder / "cache", ignore_errors=True)


def recorded_commands(quick: bool) -> dict[str, tuple[str, ...]]:
    """Arguments of each command by the name of the folder that it writes."""
    if quick:
        return {
            "run": (*RUN, "--cases", "25", "--modes", FAST_MODES, "--regimes", "all"),
            "faults": (
                *RUN,
                "--cases",
                "6",
                "--modes",
                "torch:backward,torch:forward,jax:packed",
                "--ext",
                "faults.py",
            ),
            "survey": ("survey", "--profile", "quick", *SURVEYED, "--dtypes", "float32,float16"),
        }
    return {
        "run": (*RUN, "--cases", "200", "--modes", "all", "--regimes", "all"),
        "faults": (*RUN, "--cases", "40", "--modes", "all", "--regimes", "all", "--ext", "faults.py"),
        "survey": ("survey", "--profile", "quick"),
        "diabetes": ("train", "diabetes", "--rounds", "5"),
        "digits": ("train", "digits", "--rounds", "2"),
    }


def _gradagree(folder: Path, name: str, *arguments: str) -> int:
    writes = arguments[0] in {"run", "survey", "train"} and "--help" not in arguments
    command = [sys.executable, "-m", "gradagree", *arguments, *(["--out", name] if writes else [])]
    cache = str((folder / "cache").absolute())
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "GRADAGREE_CACHE": cache, "COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    (folder / f"{name}.txt").write_text(done.stdout, encoding="utf-8")
    return done.returncode


def _record_pages(folder: Path) -> None:
    """The pages of docs/ as their generators print them."""
    (folder / "docs").mkdir()
    root = Path(_output(["-c", "import gradagree; print(gradagree.__file__)"], folder).strip()).parents[1]
    for page, modules in GENERATORS.items():
        for module in modules:
            if (root / (module.replace(".", "/") + ".py")).exists():
                (folder / "docs" / page).write_text(_output(["-m", module], root), encoding="utf-8")
                break


def _output(arguments: list[str], where: Path) -> str:
    return subprocess.run([sys.executable, *arguments], cwd=where, text=True, stdout=subprocess.PIPE, check=True).stdout


def commands_of(text: str) -> list[str]:
    """The commands that the first `--help` lists."""
    return re.findall(r"^  (\w[\w-]*)", text.partition("Commands:")[2], re.MULTILINE)


# Comparing


@main.command()
@click.argument("old", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("new", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--messages", is_flag=True, help="Show changed messages too; they are no differences.")
@click.option("--most", default=20, show_default=True, help="Differences shown of each file.")
def compare(old: Path, new: Path, messages: bool, most: int) -> None:
    """Compare two recordings; exit code 1 if they differ."""
    for folder in (old, new):
        if not (folder / RECORDING).is_file():
            raise click.UsageError(
                f"{folder} holds no recording: write one with python -m tools.golden record {folder}"
            )
    try:
        found = _print_differences(old, new, messages, most)
    except (ValueError, KeyError, OSError) as error:
        raise click.UsageError(f"a recording cannot be read: {type(error).__name__}: {error}") from error
    click.echo(f"{found} differences" if found else "no differences")
    sys.exit(1 if found else 0)


def _print_differences(old: Path, new: Path, messages: bool, most: int) -> int:
    found = 0
    for name, differences in differences_of(old, new):
        found += len(differences)
        for line in differences[:most]:
            click.echo(f"{name}: {line}")
        if len(differences) > most:
            click.echo(f"{name}: {len(differences) - most} more differences")
    if messages:
        for line in changed_messages(old, new):
            click.echo(f"(message) {line}")
    return found


def differences_of(old: Path, new: Path) -> Iterator[tuple[str, list[str]]]:
    """(file, its differences) for every file that either recording has and that is compared."""
    yield "files", [*_only(_files(old), _files(new))]
    for name in sorted(_files(old) & _files(new)):
        comparison = comparison_for(name)
        if comparison is not None:
            one, other = ((folder / name).read_text(encoding="utf-8") for folder in (old, new))
            yield name, list(comparison(one, other))


def comparison_for(name: str) -> Callable[[str, str], Iterator[str]] | None:
    """How a file is compared: None for what may differ in any way."""
    file = Path(name)
    if file.parts[0] == "docs":
        return {".json": compare_json, ".md": compare_headings}[file.suffix]
    if file.name == "results.jsonl":
        return compare_records
    if file.suffix == ".jsonl":
        return compare_lines
    if file.suffix in {".html", ".md", ".xml"}:
        return compare_pages
    if file.suffix == ".json":
        return compare_json
    if file.name.startswith("help"):
        return compare_help
    return compare_lists if file.name.startswith("list-") else None


def _files(folder: Path) -> set[str]:
    scripts = {".py", ".log"}
    return {
        str(path.relative_to(folder)) for path in folder.rglob("*")
        if path.is_file() and path.suffix not in scripts and "cache" not in path.relative_to(folder).parts
    }  # fmt: skip


def _only(old: set[Any], new: set[Any]) -> Iterator[str]:
    yield from (f"missing: {_shown(key)}" for key in sorted(old - new))
    yield from (f"new: {_shown(key)}" for key in sorted(new - old))


def _shown(key: Any) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


TIMES = {
    "seconds",
    "started",
    "finished",
    "date",
    "version",
    "versions",
    "gradagree",
    "python",
    "command",
    "platform",
    "machine",
}
TIMES |= {"fingerprint", "folder", "path", "memory", "workers", "extensions"}
WORDING = {"reason", "note", "reproducer", "stopped", "message", "title", "description", "code", "script"}
"""Fields of which only the presence is compared."""


def compare_records(old: str, new: str) -> Iterator[str]:
    """Records by case, framework and mode, field by field."""
    one, other = records_of(old), records_of(new)
    yield from _only(set(one), set(other))
    for key in sorted(one.keys() & other.keys()):
        yield from (f"{_shown(key)}: {line}" for line in compare_values(one[key], other[key]))


def records_of(text: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The records of results.jsonl by spec, framework and mode."""
    records = map(json.loads, text.splitlines())
    return {(record["spec"], record["framework"], record["mode"]): record for record in records}


def compare_lines(old: str, new: str) -> Iterator[str]:
    """Lines of JSON in their order."""
    yield from compare_values([*map(json.loads, old.splitlines())], [*map(json.loads, new.splitlines())])


def compare_json(old: str, new: str) -> Iterator[str]:
    """Values of two JSON texts, with their places."""
    yield from compare_values(json.loads(old), json.loads(new))


def compare_values(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Each place where two values differ; times and versions are left out, wording is only there or not."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from (f"{place}{line}" for line in _only(set(old), set(new)))
        for key in old.keys() & new.keys() - TIMES:
            if key in WORDING and not isinstance(old[key], dict):
                old_value, new_value = bool(old[key]), bool(new[key])
            else:
                old_value, new_value = old[key], new[key]
            yield from compare_values(old_value, new_value, f"{place}{key} ")
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{place}has {len(new)} entries instead of {len(old)}"
        for index, pair in enumerate(zip(old, new, strict=False)):
            yield from compare_values(*pair, f"{place}[{index}] ")
    elif old != new or type(old) is not type(new):
        yield f"{place}is {new!r} instead of {old!r}"


def compare_help(old: str, new: str) -> Iterator[str]:
    """Commands, options and their metavars; the order and the wording are free."""
    yield from _only(options_of(old), options_of(new))


def options_of(text: str) -> set[str]:
    """The usage line, each command, and each option with its metavar."""
    usage = re.findall(r"^Usage: .*", text, re.MULTILINE)
    options = re.findall(r"^  (-.*?)(?:  .*)?$", text, re.MULTILINE)
    return {*usage, *options, *commands_of(text)}


def compare_lists(old: str, new: str) -> Iterator[str]:
    """Names in the lists; descriptions may differ."""
    yield from _only(*(set(re.findall(r"^(\S+)", text, re.MULTILINE)) for text in (old, new)))


def compare_headings(old: str, new: str) -> Iterator[str]:
    """Headings of generated pages that are gone: names that users may rely on."""
    one, other = (set(re.findall(r"^#{2,} (.*)$", text, re.MULTILINE)) for text in (old, new))
    yield from (line for line in _only(one, other) if line.startswith("missing"))


def compare_pages(old: str, new: str) -> Iterator[str]:
    """Numbers and verdicts on a page, in their order but for tied rows of tables."""
    one, other = tokens_of(old), tokens_of(new)
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False) if one != other else None
    for kind, a, b, c, d in matcher.get_opcodes() if matcher else ():
        if kind != "equal":
            before = " ".join(one[max(0, a - 3) : a])
            yield f"after '{before}': '{' '.join(other[c:d])}' instead of '{' '.join(one[a:b])}'"


VERDICTS = "crashed|timeout|value-differs|nonfinite|disagree|suspect|inaccurate|undecided|out-of-range|convention|agree"
VERDICT = re.compile(rf"^\W*({VERDICTS}|unsupported|absent)\b[\s\d/,]*$")
NUMBER = re.compile(r"(?<![\w.:/-])[−+-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[−+-]?\d+)?(?![\w:/-]|\.\d)")
TIME = re.compile(
    r"\d[\d.,:]*\s*(?:s|ms|min|h|seconds?|minutes?|hours?)\b|time=\"[^\"]*\"|\d{4}-\d\d-\d\d\S*|\d+\.\d+\.\d+\S*"
)


class _Text(HTMLParser):
    """The visible pieces of text of a page, by table row; text outside of tables is a row of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.in_row = False
        self.hidden = 0
        self.seconds = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.hidden += tag in {"script", "style"}
        if tag == "tr":
            self.in_row = True
            self.rows.append(Row(True, []))

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in {"script", "style"}
        self.in_row &= tag not in {"tr", "table"}

    def handle_data(self, data: str) -> None:
        if not self.hidden and data.strip():
            if not self.seconds:
                if not self.in_row:
                    self.rows.append(Row(False, []))
                self.rows[-1].pieces.append(data)
            self.seconds = data.strip() == "seconds"


class Row(NamedTuple):
    """Pieces of text of a page; tied rows of a table may stand in any order."""

    in_table: bool
    pieces: list[str]


def tokens_of(text: str) -> list[str]:
    """The numbers of a page, and the verdicts that fill a cell; no times, versions or dates.

    Adjacent rows of a table that begin with the same token are tied, and sorted.
    """
    found: list[str] = []
    rows = [(row.in_table, _tokens_of_row(row.pieces)) for row in _rows_of(text)]
    for (in_table, _), tied in itertools.groupby(rows, lambda row: (row[0], row[1][:1])):
        tokens = [row for _, row in tied]
        found += itertools.chain(*(sorted(tokens) if in_table else tokens))
    return found


def _rows_of(text: str) -> list[Row]:
    if text.lstrip().startswith("<!"):
        parser = _Text()
        parser.feed(text)
        return parser.rows
    if text.lstrip().startswith("<?xml"):
        pieces = re.findall(r'(?:tests|failures|errors|skipped)="\d+"|(?:<testcase [^>]*name|type)="([^"]*)"', text)
        pieces += re.findall(r'(?:tests|failures|errors|skipped)="(\d+)"', text)
        return [Row(False, pieces)]
    lines = [line for line in text.splitlines() if not line.startswith("| seconds |")]
    return [Row(line.startswith("|"), line.split("|")) for line in lines]


def _tokens_of_row(pieces: list[str]) -> list[str]:
    found = []
    for piece in pieces:
        verdict = VERDICT.match(piece.strip())
        found += [*([verdict[1]] if verdict else []), *NUMBER.findall(TIME.sub(" ", piece))]
    return found


def changed_messages(old: Path, new: Path) -> Iterator[str]:
    """Reasons of records whose wording has changed, each once."""
    seen = set()
    for name in sorted(name for name in _files(old) & _files(new) if name.endswith("results.jsonl")):
        one, other = (records_of((folder / name).read_text(encoding="utf-8")) for folder in (old, new))
        for key in one.keys() & other.keys():
            pair = one[key]["reason"], other[key]["reason"]
            if pair[0] != pair[1] and pair not in seen:
                seen.add(pair)
                yield f"{pair[0]}\n       -> {pair[1]}"


if __name__ == "__main__":
    start(main, "tools.golden")
