"""Begins an audit: all patches, in the libraries that are there now and in those that are imported later."""

from __future__ import annotations

from pathlib import Path

from gradagree.adapters.audit_hooks import hooks
from gradagree.audit.session import Audit


def begin(root: Path) -> Audit:
    """An audit whose patches are in place."""
    from gradagree.audit import comparisons
    from gradagree.audit.rewriting import install_rewriting

    audit = Audit(root)
    own = {"numpy": comparisons.install_numpy, "numpy.testing": comparisons.install_numpy_testing}
    audit.patches.on_import({**own, **hooks()}, audit)
    audit.guarded(comparisons.install_unittest, audit)
    audit.guarded(comparisons.install_approx, audit)
    audit.guarded(install_rewriting, audit)
    return audit
