"""The pages of docs: links, commands and examples are valid, and generated pages are up to date."""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path

import click
import pytest

from gradagree.checker.verdict import Record, Verdict
from gradagree.cli.main import code as exit_code_of, commands
from gradagree.report import summarize
from gradagree.runner.campaign import _meta
from gradagree.runner.known import read_known
from gradagree.runner.options import Plan
from tools import command_page
from tools.record_schema import MEANINGS

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
WRITTEN = [page for page in PAGES if page.name not in ("coverage.md", "conventions.md", "command-line.md", "python.md")]


def name_of(page: Path) -> str:
    return page.stem


def anchors(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))


def blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_that_the_target_of_every_link_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8")))
    for link in links:
        if not re.match(r"https?://", link):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_that_every_page_is_named_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    tree = index.partition("{toctree}")[2]
    assert [page.stem for page in PAGES if page.stem != "index" and f"\n{page.stem}\n" not in tree] == []


def test_that_the_page_on_the_command_line_is_up_to_date() -> None:
    remedy = "python -m tools.command_page > docs/command-line.md"
    assert (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8") == command_page.text(), remedy


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_that_every_command_that_is_shown_exists_with_its_options(page: Path) -> None:
    for line in "".join(blocks(page, "console") + blocks(page, "yaml")).splitlines():
        match = re.search(r"(?:^\$|run:) (gradagree .*)", line.partition("  #")[0])
        if match is None:
            continue
        _, name, *words = shlex.split(match[1])
        command: click.Command = commands.commands[name]
        if isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        words = words[: words.index("--")] if "--" in words else words
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_that_the_known_difference_that_is_shown_can_be_read(tmp_path: Path) -> None:
    (text,) = [text for text in blocks(ROOT / "docs" / "upgrading.md", "toml") if "[[known]]" in text]
    (tmp_path / "known.toml").write_text(text)
    assert [entry.function for entry in read_known(tmp_path / "known.toml")] == ["hardsigmoid"]


def test_that_settings_that_are_shown_are_toml() -> None:
    shown = [text for page in WRITTEN for text in blocks(page, "toml")]
    assert all(tomllib.loads(text) for text in shown)
    assert shown


def test_that_python_code_on_pages_compiles_and_the_class_is_complete() -> None:
    text, *others = blocks(ROOT / "docs" / "extending.md", "python")
    for shown in (text, *others):
        compile(shown, "extending.md", "exec")
    assert {"value", "derivative", "torch", "jax"} <= set(re.findall(r"def (\w+)", text))


def test_that_every_line_of_the_derivation_is_a_line_of_the_reference() -> None:
    found = blocks(ROOT / "docs" / "derivation.md", "python")
    for text in found:
        path, *lines = text.splitlines()
        code = {line.strip() for line in (ROOT / path.removeprefix("# ")).read_text(encoding="utf-8").splitlines()}
        assert [line for line in lines if line not in code] == []
    assert len(found) > 5


def test_that_every_field_and_verdict_is_documented() -> None:
    records, verdicts = ((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("records", "verdicts"))
    assert [name for name in MEANINGS if f"| `{name}` |" not in records] == []
    rows = re.findall(r"^\| ([a-z, -]+) \|", verdicts.partition("(verdicts)=")[2], re.MULTILINE)
    assert {word.strip() for row in rows for word in row.split(",")} >= set(map(str, Verdict))


def test_that_every_field_of_meta_json_is_documented() -> None:
    text = (ROOT / "docs" / "records.md").read_text(encoding="utf-8").partition("## meta.json")[2]
    plan = replace(Plan.make(cases=2, frameworks="torch", shard="1/2"), own=("mine",))
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE))))
    assert {*_meta(plan, "", False, ()), "known"} == named


def test_that_the_workflow_gates_and_keeps_the_pages() -> None:
    (workflow,) = blocks(ROOT / "docs" / "upgrading.md", "yaml")
    assert "\t" not in workflow
    steps = ("actions/checkout@", "setup-python@", "gradagree run", "--gate", "GITHUB_STEP_SUMMARY", "upload-artifact@")
    for needed in steps:
        assert needed in workflow


def test_that_the_first_example_of_the_readme_prints_what_it_shows() -> None:
    code, shown = blocks(ROOT / "README.md", "python")[0], blocks(ROOT / "README.md", "text")[0].strip()
    with pytest.raises(AssertionError) as caught:
        exec(compile(code, "README.md", "exec"), {})
    printed = str(caught.value)
    # The version, and the last digits of what is observed, are those of the installed framework.
    parts = re.split(r"(?<=^torch )\S+|(?<=observed )\S+", shown)
    assert re.match(r"\S+".join(map(re.escape, parts)), printed)
    exec(compile(code.replace("1 + x * s", "1 + x * (1 - s)"), "README.md", "exec"), {})


COUNTS = {
    "README.md": {
        "disagree": 15,
        "agree": 1373,
        "convention": 43,
        "inaccurate": 5,
        "out-of-range": 46,
        "undecided": 315,
    },
    "docs/quick-start.md": {"agree": 307, "convention": 10, "out-of-range": 2, "undecided": 50},
}
"""The numbers of records of the runs whose output the pages show, by verdict, without one of jax that agrees."""
SPEC = "1-8-8-3-1-12:id,erf,cos,gelu,hardsigmoid:multiclass_hinge:n32:f64:ordinary:s550603312"


def shown_record(k: int, verdict: str, framework: str = "torch", version: str = "2.13.0+cpu") -> Record:
    """A record; one that disagrees is a fault that is known upstream."""
    fault = {
        "spec": SPEC, "function": "hardsigmoid", "box": 5, "entry": "delta_p[2,0]",
        "expected": 0.015768686930338543.hex(), "observed": 0.015768687400282033.hex(),
    }  # fmt: skip
    plain = {
        "case": "1", "spec": f"2-1:id:sse:n1:f64:grid:s{k}", "sha256": "", "framework": framework, "version": version,
        "mode": "grad", "dtype": "float64", "verdict": Verdict(verdict),
    }  # fmt: skip
    return Record(**plain | (fault if verdict == "disagree" else {}))


SHOWN = [
    line[2:].partition("  #")[0].strip()
    for page in ("README.md", "docs/quick-start.md")
    for line in "".join(blocks(ROOT / page, "console")).splitlines()
    if re.match(r"\$ gradagree (replay '|list )", line)
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("line", [*dict.fromkeys(SHOWN), f"gradagree replay '{SPEC}' --modes torch:backward"])
def test_that_a_command_that_is_shown_exits_with_0(line: str) -> None:
    assert exit_code_of(shlex.split(line)[1:]) == 0


@pytest.mark.parametrize("page", COUNTS)
def test_that_the_summary_sentence_that_is_shown_is_worded_as_by_the_code(page: str) -> None:
    records = [shown_record(k, verdict) for verdict, count in COUNTS[page].items() for k in range(count)]
    summary = summarize({}, [*records, shown_record(0, "agree", "jax", "0.10.2")])
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert summary.exit == 0
    assert summary.sentence.removesuffix(".") + "; the median tolerance was " in text
