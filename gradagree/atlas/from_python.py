"""`gradagree.survey`: from Python what the command line does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gradagree.atlas.profiles import Survey
from gradagree.atlas.surveying import Surveyed, surveyed
from gradagree.atlas.writing import prepared, with_reproducers, written
from gradagree.declared import files, load_all


def survey(
    *,
    out: str | Path | None = None,
    ext: Sequence[str] = (),
    progress: Callable[[str], Any] = lambda text: None,
    **options: Any,
) -> Surveyed:
    """Measure the error of each function on a grid of inputs against proved values, as ``gradagree survey`` does.

    Args:
        out: Folder to write the pages to; by default nothing is written.
        ext: Python files that define your own functions or adapters.
        progress: Called with a line of text for each function and dtype.
        options: Those of the command line: ``profile``, ``activations``, ``errors``, ``frameworks``, ``modes``,
            ``dtypes``; lists are separated by commas.

    Returns:
        The survey; its ``findings`` are the worst first, each with a program that reproduces it.

    Raises:
        UsageError: An option does not fit, or the folder cannot be written.

    Example:
        >>> from gradagree import survey
        >>> found = survey(activations="id", errors="sse", frameworks="torch", modes="backward", dtypes="float16")
        >>> [(finding.function, finding.kind, finding.severity) for finding in found.findings]
        [('id', 'NaN lost', 'low')]
    """
    plan = Survey.make(own=load_all(ext).named, **options)
    folder = None if out is None else prepared(Path(out))
    found = surveyed(plan, files(ext), progress)
    with_reproducers(found, plan.profile.thorough)
    if folder is not None and found.versions:
        profile = options.get("profile", "quick")
        written(found, plan, profile, folder, f"gradagree.survey(**{options!r})")
    return found
