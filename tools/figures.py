"""Figures of the code base: files, lines, median and largest file, cycles, upward imports, names used twice.

python -m tools.figures [FOLDER]     # a checkout of gradagree; by default this one
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from tools.script import start
from tools.structure import LAYERS, class_names, cycles, imports, shadowing, upward

PRODUCT, TESTS = ("reference", "adapters", "gradagree"), ("tests",)
PUBLIC = ("check", "run", "survey", "draw")


def files(root: Path, folders: Iterable[str]) -> list[Path]:
    """The Python files under some folders; links are not followed."""
    found = (path for folder in folders for path in (root / folder).rglob("*.py"))
    return sorted(path for path in found if not any(parent.is_symlink() for parent in path.parents))


def sizes(root: Path, folders: Iterable[str]) -> dict[str, int]:
    """The number of lines of each file."""
    paths = files(root, folders)
    return {str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}


def lines(root: Path) -> Iterator[str]:
    """The figures, one per line."""
    for title, folders in (("product", PRODUCT), ("tests", TESTS)):
        found = sizes(root, folders)
        yield f"{title}: {len(found):,} files, {sum(found.values()):,} lines"
        if not found:
            continue
        largest = max(found, key=lambda name: found[name])
        yield f"{title}: median file {statistics.median(found.values()):g}, largest {found[largest]} ({largest})"
    edges, classes = imports(root), class_names(root)
    yield f"import cycles: {len(cycles(edges))}"
    yield f"upward imports: {len(upward(edges, LAYERS))}"
    yield f"public class names used twice: {sum(len(homes) > 1 for homes in classes.values())}"
    yield f"modules with the name of a public function: {len(shadowing(root, PUBLIC))}"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
def main(folder: Path) -> None:
    """Print the figures of a checkout."""
    if not sizes(folder, PRODUCT):
        raise click.UsageError(f"{folder} is no checkout of gradagree: it has no Python files in {', '.join(PRODUCT)}")
    for line in lines(folder):
        click.echo(line)


if __name__ == "__main__":
    start(main, "tools.figures")
