"""The documentation of the survey lists the error classes as the code defines them."""

from __future__ import annotations

from pathlib import Path

from gradagree.surveys.classify import CLASSES, markdown_table

PAGE = Path(__file__).parents[3] / "docs" / "survey.md"


def test_that_the_page_has_the_table_of_classes() -> None:
    text = PAGE.read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- classes -->\n")
    assert rest.partition("<!-- end -->")[0] == markdown_table()


def test_that_the_table_has_every_class_once() -> None:
    lines = markdown_table().splitlines()[2:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == [one.name for one in CLASSES.values()]
