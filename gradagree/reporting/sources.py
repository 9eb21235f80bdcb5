"""The records of several results folders as if they were one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from gradagree.conventions import CONVENTION, Conventions
from gradagree.errors import UsageError
from gradagree.journal import read_meta, read_records
from gradagree.reporting.shards import shared_runs
from gradagree.reporting.texts import visible
from gradagree.verdict import Record, Verdict

__all__ = ["records_of"]


def records_of(folders: Sequence[Path]) -> Iterator[Record]:
    """The records of all folders; one that is in several of them comes once. What shards of one run concluded each from
    its own records is concluded anew from all of them.

    Raises UsageError, naming it, where folders hold different verdicts for the same case, framework and mode.
    """
    if len(folders) == 1:
        yield from read_records(folders[0])
        return
    runs = shared_runs([read_meta(folder) for folder in folders])
    whole: dict[str | None, Conventions] = {run: Conventions() for run in runs if run is not None}
    seen: dict[bytes, tuple[Verdict, int]] = {}
    for place, folder in enumerate(folders):
        conventions = whole.get(runs[place])
        for record in read_records(folder):
            if conventions is not None and record.spec.startswith(CONVENTION):
                continue
            digest = hashlib.blake2b(repr(record.key).encode(), digest_size=16).digest()
            verdict, first = seen.setdefault(digest, (record.verdict, place))
            if first == place:
                if conventions is not None:
                    conventions.see(record)
                yield record
            elif verdict is not record.verdict:
                raise _contradiction(record, verdict, folders[first], folder)
    for conventions in whole.values():
        yield from conventions.findings()


def _contradiction(record: Record, verdict: Verdict, first: Path, second: Path) -> UsageError:
    return UsageError(
        f"{visible(record.spec)} with {visible(record.framework)}:{visible(record.mode)} is {verdict} in {first} but "
        f"{record.verdict} in {second}; report them apart, or compare them: gradagree compare {first} {second}"
    )
