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
    """Every function alone, point by point, against proof, with the command line's options.

    ``survey(activations="gelu,tanh", errors="bce", frameworks="torch").findings``, the worst first, each with a program
    that shows it. With ``out``, the pages are written there too. Raises UsageError for options that do not fit.
    """
    plan = Survey.make(own=load_all(ext).named, **options)
    folder = None if out is None else prepared(Path(out))
    found = surveyed(plan, files(ext), progress)
    with_reproducers(found, plan.profile.thorough)
    if folder is not None and found.versions:
        profile = options.get("profile", "quick")
        written(found, plan, profile, folder, f"gradagree.survey(**{options!r})")
    return found
