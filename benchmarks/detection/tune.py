"""Settings for the peers as a careful expert would choose them: the sharpest that accuse no correct network.

For each dtype, eps is one of seven half decades around the cube root of the unit roundoff (the classic choice for
central differences), rtol is atol or a hundredth of it, and atol the least half decade at which no network of a pool is
accused, all of them correct and none of them asked again later; then one half decade more, for a margin. For each rtol
the eps with the least atol wins, and of the two that are left the one that finds the smaller faults in the pool.
"""

from __future__ import annotations

import datetime
import json
import math
import statistics
from collections.abc import Callable, Iterator

from benchmarks.detection.faults import KINDS, control
from benchmarks.detection.measure import smallest
from benchmarks.detection.networks import Network, Place, drawn
from benchmarks.detection.peers import TUNABLE, TUNED, Peer
from benchmarks.detection.versions import versions
from gradagree.arithmetic.model import FORMATS

POOL = (
    *(Place("size", value) for value in (10, 100, 1_000)), *(Place("depth", value) for value in (1, 2, 5, 10, 20)),
)  # fmt: skip
NETWORKS = 4
"""Of each place in the pool; one where a peer computes E for every weight, and none where that is too often."""
MOST_PASSES = 2_500
STEPS = range(-3, 4)
COARSEST, FINEST = 2, -28
"""Half decades of the tolerance: from 10 down to 1e-14."""
RATIOS = (1.0, 0.01)
RIGHT = control(KINDS["one weight"](1.0))


def pool(peer: Peer, dtype: str) -> list[Network]:
    """Correct networks that are asked only here, the quickest first."""
    made = []
    for place in POOL:
        for n in range(NETWORKS):
            network = drawn(place, dtype, KINDS["one weight"](1.0), f"pool {n}")
            passes = peer.passes(network)
            if passes is None or (passes <= MOST_PASSES and n == 0):
                made.append(network)
    return made


def candidates(dtype: str) -> Iterator[float]:
    """Steps for central differences."""
    for step in STEPS:
        yield float(f"{FORMATS[dtype].u ** (1 / 3) * 10 ** (step / 2):.1e}")


def options(eps: float, half_decade: int, ratio: float) -> dict[str, float]:
    atol = 10 ** (half_decade / 2)
    return {"eps": eps, "atol": float(f"{atol:.1e}"), "rtol": float(f"{atol * ratio:.1e}")}


def accuses_none(peer: Peer, networks: list[Network]) -> bool:
    """Whether the peer passes every correct network; one that it accuses is asked first the next time."""
    for place, network in enumerate(networks):
        if peer.judge(network, RIGHT).accused:
            networks.insert(0, networks.pop(place))
            return False
    return True


def sharpest(name: str, dtype: str, networks: list[Network], ratio: float) -> dict[str, float] | None:
    """The eps with the least atol, a half decade more than that; None where even 10 accuses someone."""
    best, chosen = COARSEST + 1, None
    for eps in candidates(dtype):
        while best > FINEST and accuses_none(TUNABLE[name](options(eps, best - 1, ratio)), networks):
            best, chosen = best - 1, eps
    return None if chosen is None else options(chosen, best + 1, ratio)


def finds(peer: Peer, networks: list[Network]) -> float:
    """The median of the smallest faults that the peer finds, on one weight and on one activation."""
    found = [
        smallest(lambda eps: peer.judge(network, kind(eps)).accused)  # noqa: B023
        for network in networks for kind in KINDS.values()
    ]  # fmt: skip
    return statistics.median(math.inf if eps is None else eps for eps in found)


def tune(name: str, dtype: str) -> dict[str, float] | None:
    """The settings of one peer for one dtype; None where no setting passes the correct networks."""
    networks = pool(TUNABLE[name](), dtype)
    made = [found for ratio in RATIOS if (found := sharpest(name, dtype, networks, ratio)) is not None]
    return min(made, key=lambda found: finds(TUNABLE[name](found), networks), default=None)


def write(say: Callable[[str], None] = print) -> None:
    """All settings, to the file that the benchmark reads."""
    settings: dict[str, dict[str, dict[str, float] | None]] = {}
    for name in TUNABLE:
        settings[name] = {}
        for dtype in FORMATS:
            settings[name][dtype] = tune(name, dtype)
            say(f"{name}, {dtype}: {settings[name][dtype]}")
    made = {"date": f"{datetime.date.today()}", "versions": versions(), "settings": settings}
    TUNED.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
