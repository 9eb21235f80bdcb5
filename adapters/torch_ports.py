"""The modules that a call of a PyTorch model runs, with their values, and the usual ways in which a port differs."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from gradagree.adapters.torch_programs import to_numpy

EPSILONS = (0.0, 1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-12)
"""Values of eps in the norms of public libraries."""
GATES = {"LSTM": "ifgo", "LSTMCell": "ifgo", "GRU": "rzn", "GRUCell": "rzn"}
"""The gates of recurrent layers in PyTorch's order."""


class ModuleCall(NamedTuple):
    """One call of a module.

    name: The module's name in the model; empty for the model itself.
    text: The module with its settings, as PyTorch prints it.
    inputs, outputs: Floating-point arrays on the host.
    module: The module.
    args: Its arguments.
    """

    name: str
    text: str
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    module: Any
    args: tuple[Any, ...]


def run_once(model: Any, args: Sequence[Any], hooks: Sequence[Any]) -> None:
    """One forward pass without gradients, after which the hooks are removed."""
    try:
        with torch.no_grad():
            model(*args)
    finally:
        for hook in hooks:
            hook.remove()


def module_calls(model: Any, args: Sequence[Any]) -> list[ModuleCall]:
    """The calls of all modules of a model, inner ones before those that contain them.

    Args:
        model: A module, in evaluation or training mode.
        args: Its arguments.

    Returns:
        The calls in the order in which they end.
    """
    found: list[ModuleCall] = []
    before: dict[str, tuple[Any, tuple[Any, ...]]] = {}

    def enter(name: str, module: Any, given: tuple[Any, ...]) -> None:
        kept = module if list(module.children()) else copy.deepcopy(module)  # running statistics change in the call
        before[name] = kept, detached(given)

    def leave(name: str, module: Any, output: Any) -> None:
        text = f"{type(module).__name__}({module.extra_repr()})"
        kept, given = before[name]
        found.append(ModuleCall(name, text, floats(given), floats(output), kept, given))

    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda m, given, name=name: enter(name, m, given)))
        hooks.append(module.register_forward_hook(lambda m, _, output, name=name: leave(name, m, output)))
    run_once(model, args, hooks)
    return found


class RunningStatistic(NamedTuple):
    """A running statistic of a batch norm, before and after a call.

    name: Its name in the model, as ``1.running_var``. kind: ``mean`` or ``variance``. old, new: Its values. batch: The
    statistic of the batch; None if the module does not take it. biased: The variance of the batch without Bessel's
    correction; the same for a mean. momentum: The share of the batch in the new value.
    """

    name: str
    kind: str
    old: np.ndarray
    new: np.ndarray
    batch: np.ndarray | None
    biased: np.ndarray | None
    momentum: float


def running_statistics(model: Any, args: Sequence[Any]) -> list[RunningStatistic]:
    """The running statistics of all batch norms of a model, before and after a call; the model is not changed.

    Args:
        model: A module, in evaluation or training mode.
        args: Its arguments.

    Returns:
        The statistics in the order of the model; of a norm that is called several times, those of the last call.
    """
    model = copy.deepcopy(model)
    before: dict[str, tuple[Any, Any]] = {}
    norms = {
        name: module for name, module in model.named_modules()
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and module.running_mean is not None
    }  # fmt: skip
    hooks = [
        module.register_forward_pre_hook(
            lambda m, given, name=name: before.update({name: (copy.deepcopy(m), given[0].detach())})
        )
        for name, module in norms.items()
    ]
    run_once(model, args, hooks)
    return [one for name, norm in norms.items() if name in before for one in statistics_of(name, norm, *before[name])]


def statistics_of(name: str, norm: Any, old: Any, x: Any) -> Iterator[RunningStatistic]:
    """Both statistics of a batch norm; old is the module before the call with these images."""
    axes = [k for k in range(x.ndim) if k != 1]
    means, variances = x.mean(axes), x.var(axes, correction=0)
    count = x.numel() // x.shape[1]
    corrected = variances * count / (count - 1) if count > 1 else variances
    momentum = norm.momentum if norm.momentum is not None else 1 / max(float(norm.num_batches_tracked), 1.0)
    for kind, attribute, batch, biased in (
        ("mean", "running_mean", means, means), ("variance", "running_var", corrected, variances),
    ):  # fmt: skip
        taken = [to_numpy(x) if norm.training else None for x in (batch, biased)]
        before, after = to_numpy(getattr(old, attribute)), to_numpy(getattr(norm, attribute))
        own = f"{name}.{attribute}" if name else attribute
        yield RunningStatistic(own, kind, before, after, taken[0], taken[1], momentum)


def floats(x: Any) -> list[np.ndarray]:
    """The floating-point tensors in nested tuples and lists, on the host."""
    if isinstance(x, torch.Tensor):
        return [to_numpy(x)] if x.is_floating_point() else []
    inside = x.values() if isinstance(x, dict) else x if isinstance(x, tuple | list) else ()
    return [one for part in inside for one in floats(part)]


def detached(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.detach().clone() if isinstance(x, torch.Tensor) else x for x in args)


def variants(call: ModuleCall, numbers: Sequence[float], earlier: Sequence[ModuleCall]) -> Iterator[tuple[str, Any]]:
    """Outputs of a module as a port may have computed them, each with what differs.

    Args:
        call: A call of a module without modules inside.
        numbers: Constants in the program of the port.
        earlier: The calls before it.

    Yields:
        (what differs, the floating-point outputs).
    """
    if list(call.module.children()):
        return
    changes = itertools.chain(changed_settings(call, numbers), changed_arrays(call), changed_layouts(call, earlier))
    for text, module, args in changes:
        try:
            with torch.no_grad():
                yield text, floats(module(*args))
        except (RuntimeError, TypeError, ValueError):  # the change does not fit this module
            continue


def changed_settings(call: ModuleCall, numbers: Sequence[float]) -> Iterator[tuple[str, Any, Any]]:
    """Other numbers for eps, slopes and the like; the other form of GELU; the other statistics of a batch norm."""
    for name, value in vars(call.module).items():
        if isinstance(value, float) and not name.startswith("_"):
            others = {*numbers, *(EPSILONS if name == "eps" else ())} - {value}
            for other in sorted(others):
                yield f"{name}={other:g} in place of {value:g}", with_attribute(call.module, name, other), call.args
    if hasattr(call.module, "approximate"):
        other = "none" if call.module.approximate == "tanh" else "tanh"
        own = call.module.approximate
        text = f"approximate={other!r} in place of {own!r} (the form of gelu)"
        yield text, with_attribute(call.module, "approximate", other), call.args
    if hasattr(call.module, "running_mean"):
        module = copy.deepcopy(call.module).train(not call.module.training)
        text = "running statistics in place of those of the batch" if call.module.training else ""
        yield text or "the statistics of the batch in place of running ones", module, call.args


def with_attribute(module: Any, name: str, value: Any) -> Any:
    changed = copy.deepcopy(module)
    setattr(changed, name, value)
    return changed


def changed_arrays(call: ModuleCall) -> Iterator[tuple[str, Any, Any]]:
    """No bias; a transposed square weight; another order of the gates."""
    kind = type(call.module).__name__
    if getattr(call.module, "bias", None) is not None and isinstance(call.module.bias, torch.Tensor):
        changed = copy.deepcopy(call.module)
        changed.bias = None
        yield "no bias", changed, call.args
    weight = getattr(call.module, "weight", None)
    if isinstance(weight, torch.Tensor) and weight.ndim >= 2 and weight.shape[0] == weight.shape[1]:
        changed = copy.deepcopy(call.module)
        changed.weight.data = weight.detach().transpose(0, 1).contiguous()
        yield "the weight is transposed", changed, call.args
    for order in itertools.permutations(range(len(GATES.get(kind, "")))):
        if list(order) != sorted(order):
            names = ", ".join(GATES[kind][k] for k in order)
            yield f"the gates are in the order {names}", reordered(call.module, order), call.args


def reordered(module: Any, order: Sequence[int]) -> Any:
    """A recurrent module whose parameters have their gates in another order."""
    changed = copy.deepcopy(module)
    for parameter in changed.parameters():
        parts = parameter.detach().chunk(len(order))
        parameter.data = torch.cat([parts[k] for k in order]).contiguous()
    return changed


def changed_layouts(call: ModuleCall, earlier: Sequence[ModuleCall]) -> Iterator[tuple[str, Any, Any]]:
    """A dense layer after images that are flattened with the channels last."""
    if type(call.module).__name__ != "Linear" or not call.inputs or call.inputs[0].ndim != 2:
        return
    rows, width = call.inputs[0].shape
    images = [y for one in earlier for y in one.outputs if y.ndim == 4 and y.shape[0] == rows and y[0].size == width]
    for y in images[-1:]:
        moved = torch.as_tensor(y.transpose(0, 2, 3, 1).reshape(rows, width)).to(call.args[0].dtype)
        yield (
            "the image is flattened as (rows, columns, channels), not (channels, rows, columns)",
            call.module,
            (moved,),
        )
        changed = copy.deepcopy(call.module)
        order = np.arange(width).reshape(y.shape[1:]).transpose(1, 2, 0).ravel()
        changed.weight.data = call.module.weight.detach()[:, torch.as_tensor(np.argsort(order))]
        yield "the weights expect (rows, columns, channels), not (channels, rows, columns)", changed, call.args
