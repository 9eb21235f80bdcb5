"""What several test files of the reference share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gradagree.arithmetic.ball import precision


@pytest.fixture
def working_precision(request: pytest.FixtureRequest) -> Iterator[None]:
    """Ball arithmetic with as many bits as the test's file says in BITS."""
    with precision(request.module.BITS):
        yield
