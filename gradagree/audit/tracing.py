"""The tolerance that rounding requires, computed from the differentiated function itself where it is at hand.

It happens after the last test, so that nothing a test sees can change, and for a limited time.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator

import numpy as np

from gradagree.audit.judgement import Pair, judge
from gradagree.audit.records import AuditRecord
from gradagree.audit.session import Audit

SHARE = 0.25
"""Part of the duration of the tests that tracing may take."""
MOST_ENTRIES = 10_000


def traced_records(audit: Audit, duration: float) -> Iterator[AuditRecord]:
    """The records whose tolerance could be computed, judged again, until the time is up."""
    end = time.perf_counter() + SHARE * duration
    for pair, record in audit.origins.values():
        if time.perf_counter() > end:
            return
        required = audit.guarded(relative_tolerance, pair)
        if required is not None:
            yield record_with(record, pair, required)


def record_with(record: AuditRecord, pair: Pair, required: float) -> AuditRecord:
    """The record, judged by a traced tolerance."""
    import msgspec

    return msgspec.structs.replace(record, **judge(pair, required))


def relative_tolerance(pair: Pair) -> float | None:
    """The tolerance of a correct program over its largest entry; None if the function cannot be traced."""
    from gradagree.functions.assertions import check_function

    function, inputs, _ = pair.origin
    if function is None or pair.gradient.size > MOST_ENTRIES:
        return None
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            report = check_function(function, list(inputs), layouts=False, repeat=1)
    except Exception:  # noqa: BLE001 (whatever the function or its arithmetic raises, there is the bound)
        return None
    found = [record for record in report.records if record.quantity == "gradient"]
    same = [record for record in found if record.shape == pair.gradient.shape] or found
    sizes = [float(record.sharpness) for record in same if record.sharpness is not None]
    required = max(sizes, default=1.0)
    return required if required < 1 else None  # a tolerance as large as the gradient says nothing
