"""index.html: the results folders in a folder, each with its summary sentence and its pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.files import write_text
from gradagree.report.html import asset, render
from gradagree.report.summary import summarize
from gradagree.report.text import short_name, visible
from gradagree.report.training import sentence
from gradagree.report.training_data import TRAIN, outcomes_along, read_training, tally
from gradagree.runner.results import META, read_meta, read_records

INDEX = "index.html"
PAGES = {"train.html": "the training", "report.html": "the report"}


@dataclass(frozen=True)
class Card:
    """One results folder; sentence is its summary, or the reason why it cannot be read."""

    title: str
    name: str
    sentence: str
    started: str
    counts: dict[Verdict, int]
    links: tuple[tuple[str, str], ...]
    readable: bool = True


def write_index(folder: Path) -> Path:
    """The path of index.html, written into a folder whose direct subfolders hold results, the latest run first.

    Raises UsageError where none of them does.
    """
    try:
        inside = sorted(path for path in folder.iterdir() if (path / META).is_file())
    except OSError as wrong:
        raise UsageError(f"{folder} cannot be read: {wrong.strerror}") from None
    if not inside:
        raise UsageError(
            f"{folder} holds no results: none of its folders has a {META}; name the folder that holds them"
        )
    cards = sorted((_card(path) for path in inside), key=lambda card: card.started, reverse=True)
    path = folder / INDEX
    write_text(path, render("index.html.j2", {"cards": cards}, asset("report.css") + asset("index.css")))
    return path


def _card(folder: Path) -> Card:
    name, links = short_name(os.fsencode(folder.name).decode(errors="replace")), tuple(_links(folder))
    try:
        return _readable(folder, name, links)
    except UsageError as wrong:
        return Card("Results that cannot be read", name, visible(wrong), "", {}, links, readable=False)


def _readable(folder: Path, name: str, links: tuple[tuple[str, str], ...]) -> Card:
    meta = read_meta(folder)
    started = visible(meta.get("started") or "")
    if not (folder / TRAIN).is_file():
        summary = summarize(meta, read_records(folder))
        return Card("Agreement run", name, summary.sentence, started, summary.counts, links)
    training = read_training(folder)
    outcomes = outcomes_along(training, read_records(folder))
    counts = dict(tally(outcomes))
    title = f"Training on {training.dataset}" if training.dataset else "Training"
    return Card(title, name, sentence(training, outcomes), started, counts, links)


def _links(folder: Path) -> Iterator[tuple[str, str]]:
    """Relative addresses of the folder's pages that are there, each with its words."""
    for page, words in PAGES.items():
        if (folder / page).is_file():
            yield f"./{quote(os.fsencode(folder.name))}/{page}", words
