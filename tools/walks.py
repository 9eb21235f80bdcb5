"""Files and functions that run for four everyday tasks, and the deepest stack of each.

    python -m tools.walks          # runs the gradagree that Python finds (PYTHONPATH)

Each task runs in its own process. Only functions of the package in that process count, not those of workers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import Any

import click

from tools.script import start

COUNT = """
import json, os, sys, threading
import gradagree
roots = tuple({os.path.realpath(p) + os.sep for p in (*gradagree.__path__,
    *(os.path.join(gradagree.__path__[0], name) for name in ("reference", "adapters")))})
seen, deepest, depth, known = set(), 0, 0, {}

def ours(code):
    if code not in known:
        known[code] = os.path.realpath(code.co_filename).startswith(roots)
    return known[code]

def named(code):  # a function with a name: no module, class body, lambda or comprehension
    return code.co_flags & 1 and code.co_name[0] != "<"

def profile(frame, event, argument):
    global depth, deepest
    if event == "call" and ours(frame.f_code):
        code = frame.f_code
        if named(code):
            seen.add((code.co_filename, code.co_qualname))
        depth += 1
        deepest = max(deepest, depth)
    elif event == "return" and ours(frame.f_code):
        depth -= 1

def main():
%s

threading.setprofile(lambda f, e, a: seen.add((f.f_code.co_filename, f.f_code.co_qualname))
    if e == "call" and ours(f.f_code) and named(f.f_code) else None)
sys.setprofile(profile)
try:
    main()
finally:
    sys.setprofile(None)
print("walk:" + json.dumps([len({file for file, _ in seen}), len(seen), deepest]))
"""
RUN = "run --cases 1 --seed 4 --frameworks torch --modes backward --dtypes float32 --activations gelu --shrink 0"
CLI = """
    import importlib
    try:
        code = importlib.import_module("gradagree.cli.main").code
    except ModuleNotFoundError:
        code = importlib.import_module("gradagree.cli").code
"""
WALKS = {
    "(a) run, 1 case, torch backward, float32, gelu": f"{CLI}    code({RUN.split()!r} + ['--out', 'a'])",
    "(b) check(torch.nn.functional.gelu, Gelu()), one mode, float32": """
    import torch
    from gradagree import check
    from gradagree.reference.activations import Gelu
    check(torch.nn.functional.gelu, Gelu(), frameworks="torch", modes="torch:backward", dtypes=["float32"])""",
    "(c) survey of tanh, float16, torch": f"{CLI}    code("
    "'survey --activations tanh --errors none --dtypes float16 --frameworks torch --profile quick --out c'.split())",
    "(d) reports of a folder with one record": f"{CLI}    code(['report', 'a'])",
}


def walk(code: str, folder: str) -> list[int]:
    """(files, functions, deepest stack) of a piece of code."""
    done = subprocess.run([sys.executable, "-c", COUNT % code], cwd=folder, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith("walk:")]
    if not found:
        raise click.ClickException(f"a walk failed: {done.stderr[-2000:]}")
    counts: Any = json.loads(found[0].removeprefix("walk:"))
    return list(counts)


@click.command()
def main() -> None:
    """Print files, functions and the deepest stack of each walk."""
    with tempfile.TemporaryDirectory() as folder:
        for title, code in WALKS.items():
            files, functions, deepest = walk(code, folder)
            click.echo(f"{title}: {files} files, {functions} functions, deepest stack {deepest}")


if __name__ == "__main__":
    start(main, "tools.walks")
