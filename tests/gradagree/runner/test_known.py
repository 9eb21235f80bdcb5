"""The file of known differences: valid entries, and the message for each mistake."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.runner.known import NAME, decode_known, find_known, read_known
from gradagree.runner.known_entry import Entry

GOOD = '[[known]]\nframework = "torch"\nfunction = "gelu"\nclass = "disagree"\nreason = "r"\n'


def write(content: str, path: str = NAME) -> Path:
    Path(path).write_text(content)
    return Path(path)


@pytest.fixture(autouse=True)
def empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text("")


def test_that_every_key_of_an_entry_is_read() -> None:
    more = 'mode = "grad"\ndtype = "float32"\nversion = ">=2,<3"\nlink = "https://x"\nexpiry = 2030-01-31\n'
    (entry,) = read_known(write(GOOD + more))
    assert entry == Entry(
        framework="torch", function="gelu", verdict=Verdict.DISAGREE, reason="r", mode="grad", dtype="float32",
        version=">=2,<3", link="https://x", expiry=datetime.date(2030, 1, 31),
    )  # fmt: skip
    assert decode_known([entry.to_json()]) == [entry]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[[known]\n", "is not valid TOML: "),
        ("\n[[knwon]]\n", ": unknown table 'knwon'; begin each entry with [[known]]"),
        ("[known]\na = 1\n", ": begin each entry with [[known]], in double brackets"),
        ("known = [1]\n", ": begin each entry with [[known]], in double brackets"),
        (GOOD + "[[known]]\n", ', entry 2: framework is missing; write framework = "torch"'),
        (GOOD.replace("reason", "raeson"), ", entry 1: unknown key 'raeson'; did you mean 'reason'?"),
        (GOOD.replace('"r"', '" "'), ", entry 1: reason is ' '; write reason = "),
        (GOOD.replace('"r"', "3"), ", entry 1: reason is 3; write reason = "),
        (GOOD.replace("torch", "pytorch"), ", entry 1: unknown framework 'pytorch'; did you mean 'torch'?"),
        (GOOD.replace("disagree", "disagre"), ", entry 1: unknown class 'disagre'; did you mean 'disagree'?"),
        (GOOD.replace("disagree", "agree"), ", entry 1: unknown class 'agree'; did you mean 'disagree'?"),
        (GOOD + 'mode = "backwards"', ", entry 1: unknown mode 'backwards'; did you mean 'backward'?"),
        (GOOD + 'dtype = "float31"', ", entry 1: unknown dtype 'float31'; did you mean 'float32'?"),
        (GOOD + 'version = "two"', ", entry 1: version 'two' is not a range of versions; write version = "),
        (GOOD + 'expiry = "soon"', ", entry 1: expiry is 'soon'; write expiry = 2027-06-30"),
        (GOOD + 'link = ""', ", entry 1: link is ''; write link = "),
        (GOOD + 'expiry = "2027-06-30"', ", entry 1: expiry is '2027-06-30'; write expiry = 2027-06-30"),
        (GOOD + "mode = 3", ", entry 1: mode is 3; write mode = "),
        (GOOD + "expiry = 2027-06-30T10:00:00", ", entry 1: expiry is datetime.datetime("),
    ],
)
def test_that_the_message_names_file_and_entry_and_says_what_to_write(content: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_known(write(content))
    message = str(caught.value).replace("gradagree-known.toml is", "gradagree-known.tomlis")
    assert message.startswith(NAME)
    assert expected.removeprefix(" ") in message
    assert "\n" not in message


def test_that_a_missing_file_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"^--known none\.toml: no such file$"):
        find_known("none.toml")


def test_that_the_projects_file_is_found_from_a_subfolder_unless_known_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert find_known(None) is None
    write(GOOD)
    Path("a/b").mkdir(parents=True)
    monkeypatch.chdir("a/b")
    assert [entry.function for entry in find_known(None) or ()] == ["gelu"]
    assert find_known("none") == []
    other = write(GOOD.replace("gelu", "silu"), "mine.toml")
    assert [entry.function for entry in find_known(str(other)) or ()] == ["silu"]


def test_that_a_file_above_the_project_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    write(GOOD)
    Path("inner/.git").mkdir(parents=True)
    monkeypatch.chdir("inner")
    assert find_known(None) is None


def entry(**restrictions: str) -> Entry:
    return Entry(framework="torch", function="gelu", verdict=Verdict.DISAGREE, reason="r", **restrictions)


@pytest.mark.parametrize(
    ("restrictions", "kind", "expected"),
    [
        ({}, ("torch", "grad", "float32", "2.13.0+cpu"), True),
        ({}, ("jax", "grad", "float32", "2.13.0"), False),
        ({"mode": "grad"}, ("torch", "vmap", "float32", "2.13.0"), False),
        ({"dtype": "float64"}, ("torch", "grad", "float32", "2.13.0"), False),
        ({"version": "==2.13.0"}, ("torch", "grad", "float32", "2.13.0+cpu"), True),
        ({"version": "<2.13"}, ("torch", "grad", "float32", "2.13.0"), False),
        ({"version": ">=2.13.dev0"}, ("torch", "grad", "float32", "2.14.0.dev1+git"), True),
        ({"version": ">=2"}, ("torch", "grad", "float32", "my build"), False),
        ({}, ("torch", "grad", "float32", "my build"), True),
    ],
)
def test_that_an_entry_applies_to_the_records_that_it_names(
    restrictions: dict[str, str], kind: tuple[str, str, str, str], expected: bool
) -> None:
    assert entry(**restrictions).applies_to(*kind) is expected


def test_that_a_function_is_named_with_its_parameters_or_without() -> None:
    assert [entry().names(name) for name in ("gelu", "gelu(a=1)", "gelu_tanh")] == [True, True, False]


def test_that_invalid_entries_of_meta_json_are_skipped() -> None:
    good = entry().to_json()
    assert decode_known([good, {}, 3, good | {"version": "two"}, good | {"class": "fine"}]) == [entry()]
    assert decode_known(None) == decode_known("text") == []
