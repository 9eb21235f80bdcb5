"""How large a planted change is beside what gradagree allows there, worked out as its box check does."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.faults import Fault, control
from benchmarks.detection.networks import Network, answer, part
from benchmarks.detection.peers import Gradagree
from gradagree.adapters import Answer
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import Rounded
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.dense import DenseCheck
from gradagree.reference import ErrorBox

LENIENT = ToleranceOptions(conditioning=True, ad_forms=True)


def times_tolerance(tool: Gradagree, network: Network, fault: Fault) -> float:
    """The planted change over the tolerance, at the entry where that is most; 0 where no tolerance is finite."""
    right, wrong = (answer(tool.framework, network, f) for f in (control(fault), fault))
    off = np.abs(part(wrong, network.site, fault.part) - part(right, network.site, fault.part))
    allowed = tolerance(network, right, fault.part, tool.measured.model(network.case.dtype, tool.mode))
    with np.errstate(all="ignore"):
        ratio = np.where(off > 0, off / allowed, 0.0)
    return float(np.max(np.nan_to_num(ratio, nan=0.0, posinf=np.finfo(float).max)))


def tolerance(network: Network, right: Answer, name: str, model: Model) -> np.ndarray:
    """What the box check allows to each entry of one part of the guilty box's answer, the natural scale included."""
    site, arrays, case = network.site, network.arrays, network.case
    if site.box == "error":
        o, targets = Rounded.intermediate([*right.values.values()][-1], model), Rounded.stored(arrays.targets, model)
        return ErrorBox(LENIENT.bounds(case.error), targets, case.loss_weight).pull(o).radius
    k = int(site.box)
    one = DenseCheck(case.nodes(arrays)[k - 1], right, model)
    expected = one.expected_cotangent if name == "delta_p" else one.expected_gradient(name.removeprefix("d"))
    radius: np.ndarray = expected(LENIENT).radius
    return radius
