"""The tests that ``pytest --gradagree`` collects: a project's functions and adapters, in blocks of random networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gradagree.adapters import Adapter
from gradagree.adapters.function_adapters import ADAPTERS
from gradagree.cases.graph_case import AnyCase
from gradagree.checker.proofs import prove_derivatives
from gradagree.errors import UsageError
from gradagree.functions import graph_check as graph_check  # proves the derivatives of layers
from gradagree.pytest_plugin.records import FUNCTIONS, PROCESSES, RECORDS, check_cases, check_function
from gradagree.reference import Activation, ErrorFunction, Layer
from gradagree.reference.parameters import file_of
from gradagree.runner.extensions import is_builtin, load_all, project_file, settings
from gradagree.runner.options import PROFILES, Plan

SLOW_PART = 4
"""In modes that compile for every shape, the number of architectures is divided by this."""
EVERYTHING = "all"


class Settings(NamedTuple):
    """Extent of the checks, from the command line or [tool.gradagree]."""

    profile: str
    plan: Plan

    @classmethod
    def of(cls, config: pytest.Config) -> Settings:
        """Raises pytest.UsageError for an invalid option or setting."""
        try:
            load_all(())
            chosen = {"profile": "quick", "seed": 0, **settings()}
            for name in ("profile", "seed"):
                option = config.getoption(f"--gradagree-{name}")
                chosen |= {} if option is None else {name: option}
            return cls(chosen["profile"], Plan.make(**chosen))
        except UsageError as error:
            raise pytest.UsageError(f"--gradagree: {error}") from None

    def header(self) -> str:
        names = ("gradagree", "numpy", *(name for name in self.plan.frameworks if is_builtin(Adapter.catalogue[name])))
        versions = ", ".join(filter(None, map(_version, names)))
        return f"gradagree: {versions}; profile {self.profile}, seed {self.plan.seed}"


class Derivative(pytest.Item):
    """Checks that the derivative of a function matches its value; runs before any framework."""

    def __init__(self, *, function: Any, **options: Any) -> None:
        super().__init__(**options)
        self.function = function
        self.add_marker("gradagree")

    def runtest(self) -> None:
        try:
            prove_derivatives(self.function)
        except UsageError as error:
            pytest.fail(str(error), pytrace=False)

    def reportinfo(self) -> tuple[Path | str, int | None, str]:
        return file_of(type(self.function)) or "gradagree", None, self.name


class NetworksItem(pytest.Item):
    """Checks random networks with one function, or with the whole catalogue, in one mode."""

    def __init__(self, *, function: Any, mode: str, number: int, settings: Settings, **options: Any) -> None:
        super().__init__(**options)
        self.function, self.number, self.settings = function, number, settings
        self.framework, _, self.mode = mode.partition(":")
        self.add_marker("gradagree")
        if Adapter.mode(mode).compiles:
            self.add_marker("gradagree_slow")

    def cases(self) -> list[tuple[int, AnyCase]]:
        """Numbered cases, the same for every framework and mode."""
        plan, count = self.settings.plan, PROFILES[self.settings.profile].block_cases
        start = self.number * count
        count = max(1, count // SLOW_PART) if Adapter.mode(f"{self.framework}:{self.mode}").compiles else count
        activations = [self.function] if isinstance(self.function, Activation) else None
        errors = [self.function] if isinstance(self.function, ErrorFunction) else None
        return plan.draw_range(range(start, start + count), activations, errors)

    def runtest(self) -> None:
        process = self.config.stash[PROCESSES](self.framework)
        judges_functions = self.function is not None and is_builtin(Adapter.catalogue[self.framework])
        own = [function.name for function in own_functions()] if judges_functions else []
        records = check_cases(process, self.mode, self.cases(), self.stash.setdefault(RECORDS, []), own)
        if not any(record.verdict.compared for record in records):
            pytest.skip(f"nothing was compared: {'; '.join(dict.fromkeys(record.reason for record in records))}")

    def reportinfo(self) -> tuple[Path | str, int | None, str]:
        kind = Adapter.catalogue[self.framework] if self.function is None else type(self.function)
        return file_of(kind) or "gradagree", None, self.name


class LayerItem(pytest.Item):
    """Checks a layer, with all its settings, in one framework."""

    def __init__(self, *, kind: type[Layer], framework: str, dtypes: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.kind, self.framework, self.dtypes = kind, framework, dtypes
        self.add_marker("gradagree")

    def runtest(self) -> None:
        options = {"frameworks": self.framework, "dtypes": list(self.dtypes)}
        check_function(self.kind, None, options, self.stash.setdefault(FUNCTIONS, []))

    def reportinfo(self) -> tuple[Path | str, int | None, str]:
        return file_of(self.kind) or "gradagree", None, self.name


class Project(pytest.File):
    """The pyproject.toml of a project; collects tests of its functions, layers and adapters."""

    def collect(self) -> Iterator[pytest.Item]:
        """For each function its derivative and blocks of networks; for each adapter blocks with all functions.

        For each layer its derivative, and a check in each framework that it has an implementation in.
        """
        settings = Settings.of(self.config)
        for kind in own_layers():
            yield Derivative.from_parent(self, name=f"{kind.name}[derivative]", function=kind())
            for framework in (name for name in settings.plan.frameworks if hasattr(kind, name) and name in ADAPTERS):
                options = {"kind": kind, "framework": framework, "dtypes": settings.plan.dtypes}
                yield LayerItem.from_parent(self, name=f"{kind.name}[{framework}]", **options)
        for function in own_functions():
            yield Derivative.from_parent(self, name=f"{function.name}[derivative]", function=function)
            yield from self._blocks(function, function.name, list(settings.plan.modes), settings)
        own = [mode for mode in settings.plan.modes if mode.partition(":")[0] in own_adapters(settings.plan)]
        yield from self._blocks(None, EVERYTHING, own, settings)

    def _blocks(self, function: Any, subject: str, modes: list[str], settings: Settings) -> Iterator[pytest.Item]:
        for mode in modes:
            for number in range(PROFILES[settings.profile].blocks):
                name = f"{subject}[{mode.replace(':', '-')}-b{number:03d}]"
                options = {"function": function, "mode": mode, "number": number, "settings": settings}
                yield NetworksItem.from_parent(self, name=name, **options)


def own_functions() -> list[Any]:
    loaded = load_all(())
    return [kind() for kind in sorted({*loaded.named, *loaded.installed}, key=lambda kind: kind.name)]


def own_layers() -> list[type[Layer]]:
    return sorted(load_all(()).layers, key=lambda kind: kind.name)


def own_adapters(plan: Plan) -> list[str]:
    return [name for name in plan.frameworks if not is_builtin(Adapter.catalogue[name])]


def add_project(arguments: list[str], settings: Settings) -> list[str]:
    """The arguments, with the project file added if it is not named. Raises pytest.UsageError if it defines nothing."""
    path = project_file()
    if path is None or not (own_functions() or own_layers() or own_adapters(settings.plan)):
        raise pytest.UsageError(
            "--gradagree: this project defines no activation, error function, layer or adapter; write "
            '[tool.gradagree] ext = ["FILE.py"] into pyproject.toml'
        )
    named = any(Path(argument.partition("::")[0]).absolute() == path for argument in arguments)
    return arguments if named else [*arguments, str(path)]


def _version(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return ""
