"""Find real bugs in gradients from public issue threads, by gradagree and by what else is used for it.

    OMP_NUM_THREADS=1 python -m benchmarks.gradbugs [--only NAMES] [--tools CHECKS] [--out reports/gradbugs.json]

Names may hold * and ?, and are separated by semicolons. With all bugs and checks, the page docs/gradbugs.md is written
as well; ``--page`` makes it again from the results, and ``--again`` puts the chosen bugs into the results first.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import jax
import torch

from benchmarks.gradbugs.page import page
from benchmarks.gradbugs.run import PAGE, RESULTS, renewed, run, write


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gradbugs", description=__doc__)
    parser.add_argument("--only", default="*", help="names of bugs")
    parser.add_argument("--tools", default="*", help="names of checks")
    parser.add_argument("--out", type=Path, default=None, help=f"the JSON file; {RESULTS} for all bugs and checks")
    parser.add_argument("--page", action="store_true", help="only make the page again, from the JSON")
    parser.add_argument("--again", action="store_true", help="put the chosen bugs into the published results")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    torch.set_num_threads(1)
    everything = options.only == options.tools == "*"
    out = options.out or (RESULTS if everything else None)
    if not options.page:
        result = run(options.only, options.tools, lambda line: print(line, flush=True))
        if options.again:
            write(renewed(json.loads(RESULTS.read_text(encoding="utf-8")), result), RESULTS)
        elif out is not None:
            write(result, out)
            print(out)
    if options.page or options.again or (everything and out == RESULTS):
        PAGE.write_text(page(json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")
        print(PAGE)


if __name__ == "__main__":
    main()
