"""Figures of the code base and the walks through it count what they say."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tools.figures import lines, sizes
from tools.walks import walk


def test_that_files_and_lines_are_counted_once_and_links_are_not_followed(tmp_path: Path) -> None:
    for name, source in (("reference/a.py", "x = 1\n"), ("gradagree/b.py", "y = 1\nz = 2\n"), ("tests/c.py", "")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source, encoding="utf-8")
    (tmp_path / "gradagree" / "reference").symlink_to("../reference")
    assert sizes(tmp_path, ("reference", "gradagree")) == {"gradagree/b.py": 2, "reference/a.py": 1}
    assert next(lines(tmp_path)) == "product: 2 files, 3 lines"


def test_that_a_walk_counts_functions_of_the_package_and_their_stack() -> None:
    with tempfile.TemporaryDirectory() as folder:
        code = "    from gradagree.errors import UsageError, nearest, in_one_line\n    {}"
        none = walk(code.format("len('a')"), folder)
        one = walk(code.format("in_one_line('a')"), folder)
        two = walk(code.format("in_one_line(nearest('a', ['b']))"), folder)
    assert [count[1] for count in (one, two)] == [none[1] + 1, none[1] + 2]
    assert one[2] == two[2] >= 1
