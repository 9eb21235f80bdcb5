"""What torch itself says that it does not support: no crash, but the mode's own limit."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from gradagree.adapters.adapter import Error, Mode
from gradagree.adapters.problem import Unsupported


def admitting(mode: Mode) -> Mode:
    """The mode, for which a function that torch itself says it does not support in it is Unsupported, not a crash."""

    @functools.wraps(mode)
    def made(error: Error, per_example: Sequence[bool]) -> Callable[..., Any]:
        gradient = mode(error, per_example)

        def admitted(leaves: list[Any], targets: Any) -> Any:
            try:
                return gradient(leaves, targets)
            except RuntimeError as wrong:
                if not any(phrase in str(wrong) for phrase in NOT_SUPPORTED):
                    raise
                raise Unsupported(f"torch: {str(wrong).splitlines()[0]}") from wrong

        return admitted

    return made


NOT_SUPPORTED = (
    "we do not yet support",
    "we don't support vmap",
    "does not support it because",
    "is not implemented",
    "data-dependent control flow",
    "it must override the setup_context",
)
