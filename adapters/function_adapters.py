"""The framework that a user's function belongs to."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from gradagree.adapters.functions import FunctionAdapter
from gradagree.errors import UsageError, nearest

ADAPTERS = {
    "torch": ("gradagree.adapters.torch_functions", "TorchFunctions"),
    "jax": ("gradagree.adapters.jax_functions", "JaxFunctions"),
}


def adapter_of(function: Any, args: Any, kwargs: Any) -> FunctionAdapter:
    """The adapter of the framework whose arrays a call has.

    Raises:
        UsageError: The arguments hold no array of a framework that is imported.
    """
    for name, (module, kind) in ADAPTERS.items():
        if name in sys.modules:
            adapter = getattr(importlib.import_module(module), kind)()
            if adapter.owns(function, (args, kwargs)):
                return adapter
    raise UsageError("the arguments hold no array of torch or jax; give the framework's own arrays")


def named_adapter(name: str) -> FunctionAdapter:
    """The adapter of a framework, which is imported.

    Raises:
        UsageError: There is no framework of this name, or it is not installed.
    """
    if name not in ADAPTERS:
        raise UsageError(f"frameworks={name!r}: {nearest(name, ADAPTERS)}")
    module, kind = ADAPTERS[name]
    try:
        return getattr(importlib.import_module(module), kind)()
    except ImportError as missing:
        raise UsageError(f"{name} is not installed ({missing}); install it to check its functions") from missing


PORTS = {"torch": "gradagree.adapters.torch_ports"}
"""Modules with `module_calls` and `variants`, by framework."""


def port_tools(adapter: FunctionAdapter) -> Any:
    """The module that runs a framework's modules one by one, for `assert_port`.

    Raises:
        UsageError: There is none for this framework.
    """
    if adapter.name not in PORTS:
        raise UsageError(f"torch_module belongs to {adapter.name}; give a module of {' or '.join(PORTS)}")
    return importlib.import_module(PORTS[adapter.name])


def imported() -> list[FunctionAdapter]:
    """The adapters of the frameworks that are imported."""
    return [named_adapter(name) for name in ADAPTERS if name in sys.modules]


def others(adapter: FunctionAdapter) -> list[FunctionAdapter]:
    """The adapters of the other frameworks that are imported."""
    return [one for one in imported() if one.name != adapter.name]
