"""How long a survey takes: ``python benchmarks/survey.py [quick|ci] [DTYPES]``; processor seconds and the clock.

Caches of earlier surveys are not used, unless GRADAGREE_CACHE names a folder.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Run the survey in a process of its own and print what it cost."""
    profile = arguments[0] if arguments else "quick"
    dtypes = ["--dtypes", arguments[1]] if len(arguments) > 1 else []
    with tempfile.TemporaryDirectory() as folder:
        environment = {"GRADAGREE_CACHE": str(Path(folder) / "cache"), **os.environ}
        command = [sys.executable, "-m", "gradagree", "survey", "--profile", profile, *dtypes, "--out", f"{folder}/out"]
        started = time.perf_counter()
        done = subprocess.run(command, env=environment, check=False, stdout=subprocess.PIPE, text=True)
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(done.stdout.splitlines()[0] if done.stdout else f"exit code {done.returncode}")
    cores = len(os.sched_getaffinity(0))
    print(f"{seconds:.0f} seconds by the clock, {used.ru_utime + used.ru_stime:.0f} of processors; {cores} cores")


if __name__ == "__main__":
    main(sys.argv[1:])
