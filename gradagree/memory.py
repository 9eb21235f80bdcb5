"""How much memory a framework's process may take: what it really holds is watched from outside.

A limit on addresses (``RLIMIT_AS``) does not serve: XLA reserves stacks and arenas by the number of cores (measured on
two: 1.5 GB of addresses, 0.2 GB held), and an allocation that fails makes a framework raise or abort in ways that look
like faults of its own. So the parent looks at the resident set a few times a second, which no framework can prevent,
and ends the process that holds too much.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

LOOK = 0.1
"""Seconds between two looks."""
SHARE = 0.5
"""Of the machine's memory, for one process."""
CONTROL_GROUP = Path("/sys/fs/cgroup/memory.max")


def allowed() -> int:
    """Bytes that one process may hold: half of the machine's, or of the control group's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(CONTROL_GROUP.read_text()))
    return int(total * SHARE)


def resident(process: int) -> int:
    """Bytes that a process holds; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def volunteer() -> None:
    """Should the machine run out of memory, this process goes first, and not the one that writes the results."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
