"""The pytest plugin: ``pytest --gradagree`` cross-checks a project's own functions and adapters; fixtures for tests.

It imports nothing else of gradagree until it is used. Reports are written by the process that
controls the run, from records that travel with the test reports, so that they are complete under pytest-xdist too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gradagree.pytest_plugin.records import (
    FUNCTIONS,
    PROCESSES,
    RECORDS,
    Processes,
    Reporter,
    check_cases,
    check_function,
    keep,
)

if TYPE_CHECKING:
    from gradagree.cases.graph_case import AnyCase
    from gradagree.checker.verdict import Record
    from gradagree.runner.process import FrameworkProcess


MARKERS = (
    "gradagree: a check of a framework's gradients against the reference",
    "gradagree_slow: such a check in a mode that compiles or traces for every array shape",
)
REFUSED = {
    "loadgroup": "it hangs when a worker dies",
    "loadscope": "it drops tests when a worker dies",
    "loadfile": "it drops tests when a worker dies",
    "each": "every worker would run every test, and count each verdict again",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gradagree", "is this gradient right?")
    add = group.addoption
    add(
        "--gradagree",
        action="store_true",
        help="check the gradients of this project's own functions and adapters (default: off)",
    )
    add("--gradagree-profile", metavar="NAME", help="size of the run: quick, ci or nightly (default: quick)")
    add("--gradagree-seed", metavar="S", type=int, help="seed of the random networks (default: 0)")
    add(
        "--gradagree-report",
        metavar="DIR",
        help="write gradagree's reports of this test run to DIR (default: write none)",
    )
    add(
        "--gradagree-audit",
        action="store_true",
        help="audit the gradient tests: what would their comparisons let through? (default: off)",
    )
    add(
        "--gradagree-audit-report",
        metavar="DIR",
        help="audit, and write audit.html, audit.md and audit.json to DIR (default: write none)",
    )
    add(
        "--gradagree-audit-fail",
        metavar="CLASSES",
        help="audit, and fail for comparisons of these classes, such as vacuous or vacuous,loose (default: none)",
    )


AUDIT_OPTIONS = ("gradagree_audit", "gradagree_audit_report", "gradagree_audit_fail")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begin the audit before the project's own code imports anything."""
    if not any(getattr(early_config.known_args_namespace, name, None) for name in AUDIT_OPTIONS):
        return
    start = time.perf_counter()
    from gradagree.pytest_plugin.audit import AuditWatcher

    early_config.pluginmanager.register(AuditWatcher(early_config.rootpath, start), "gradagree-audit-watcher")


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    config.stash[PROCESSES] = Processes()
    folder = config.getoption("--gradagree-report")
    dist = getattr(config.option, "dist", "no")
    if (folder or config.getoption("--gradagree")) and dist in REFUSED:
        raise pytest.UsageError(f"--dist {dist} with gradagree: {REFUSED[dist]}; use --dist load or worksteal")
    if config.getoption("--gradagree"):
        from gradagree.pytest_plugin.items import Settings, add_project

        config.args = add_project(config.args, Settings.of(config))
    if any(config.getoption(name) for name in AUDIT_OPTIONS):
        configure_audit(config, dist)
    if folder and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(Path(folder)), "gradagree-reporter")


def configure_audit(config: pytest.Config, dist: str) -> None:
    """Register what reports the audit, in the process that controls the run."""
    from gradagree.pytest_plugin.audit import AuditReporter, AuditWatcher, chosen_classes

    classes, folder = chosen_classes(config), config.getoption("--gradagree-audit-report")
    watcher = config.pluginmanager.get_plugin("gradagree-audit-watcher")
    if watcher is None:  # where the plugin is loaded late
        watcher = AuditWatcher(config.rootpath, time.perf_counter())
        config.pluginmanager.register(watcher, "gradagree-audit-watcher")
    if not hasattr(config, "workerinput"):
        reporter = AuditReporter(Path(folder) if folder else None, classes, watcher, dist == "no")
        config.pluginmanager.register(reporter, "gradagree-audit-reporter")


def pytest_unconfigure(config: pytest.Config) -> None:
    if PROCESSES in config.stash:
        config.stash[PROCESSES].close()


def pytest_report_header(config: pytest.Config) -> str | None:
    """Versions, profile and seed."""
    if not config.getoption("--gradagree"):
        return None
    from gradagree.pytest_plugin.items import Settings

    return Settings.of(config).header()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the tests of the project at its pyproject.toml."""
    if file_path.name != "pyproject.toml" or not parent.config.getoption("--gradagree"):
        return None
    from gradagree.pytest_plugin.items import Project
    from gradagree.runner.extensions import project_file

    return Project.from_parent(parent, path=file_path) if file_path == project_file() else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Attach the records of a test to its report."""
    report = yield
    if report.when == "call":
        report.gradagree = item.stash.get(RECORDS, [])
        report.gradagree_functions = item.stash.get(FUNCTIONS, [])
    return report


@pytest.fixture(scope="session")
def gradagree_processes(pytestconfig: pytest.Config) -> Callable[[str], FrameworkProcess]:
    """A function that returns the worker process of a framework.

    The process is started at the first call and kept for the session.

    Args:
        framework: Name of an adapter, such as ``"torch"``.

    Returns:
        The worker process; ``handshake`` has the version and the probes of the framework.

    Example:
        >>> def test_version(gradagree_processes):
        ...     process = gradagree_processes("torch")
        ...     assert process.handshake.version.startswith("2.")
    """
    return pytestconfig.stash[PROCESSES]


@pytest.fixture
def gradagree_block(
    request: pytest.FixtureRequest, gradagree_processes: Callable[[str], FrameworkProcess]
) -> Callable[[str, str, Sequence[tuple[int, AnyCase]]], list[Record]]:
    """A function that checks numbered cases in the worker process of a framework.

    It keeps the records for the report of the test run (``--gradagree-report``).

    Args:
        framework: Name of an adapter, such as ``"torch"``.
        mode: One of its gradient modes, such as ``"backward"``.
        cases: Pairs of a number, which becomes ``Record.index``, and a case.

    Returns:
        One record for each case.

    Raises:
        Failed: A verdict fails, or the worker process does not start; the test fails.
        Skipped: The framework is not installed; the test is skipped with the reason.

    Example:
        >>> from gradagree import Case
        >>> def test_one_case(gradagree_block):
        ...     case = Case.parse("2-3:tanh:sse:n4:f32:grid:s1")
        ...     (record,) = gradagree_block("torch", "backward", [(0, case)])
        ...     assert record.verdict.value == "agree"
    """

    def block(framework: str, mode: str, cases: Sequence[tuple[int, AnyCase]]) -> list[Record]:
        __tracebackhide__ = True
        return check_cases(gradagree_processes(framework), mode, cases, request.node.stash.setdefault(RECORDS, []))

    return block


@pytest.fixture
def gradagree_check(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`gradagree.check` as a fixture.

    It keeps the records for the report of the test run (``--gradagree-report``).

    Args:
        thing: An activation, error function, case, or a framework's own function, as for `gradagree.check`; with
            ``inputs=``, any function or module.
        reference: For a framework's own function, the activation or error function that it should agree with; with
            ``inputs=``, any function with the same arguments.
        options: ``inputs``, ``frameworks``, ``modes``, ``dtypes`` and so on, as for `gradagree.check`. With
            ``--gradagree-report DIR``, failing calls are saved in ``DIR/replay``.

    Returns:
        One record for each case, framework and mode; none of them fails. With ``inputs=``, a `gradagree.Report`.

    Raises:
        Failed: A verdict fails, nothing could be compared, or an argument is invalid; the test fails.

    Example:
        >>> import torch
        >>> from gradagree.reference.activations import Gelu
        >>> def test_gelu(gradagree_check):
        ...     gradagree_check(torch.nn.functional.gelu, Gelu(), frameworks="torch", modes="backward")
        >>> def test_norm(gradagree_check):
        ...     gradagree_check(torch.nn.LayerNorm(8), inputs=(torch.randn(4, 8),))
    """

    def check(thing: Any, reference: Any = None, **options: Any) -> Any:
        __tracebackhide__ = True
        if options.get("inputs") is not None:
            report = request.config.getoption("--gradagree-report")
            options = ({} if report is None else {"save": Path(report) / "replay"}) | options
            return check_function(thing, reference, options, request.node.stash.setdefault(FUNCTIONS, []))
        import json

        from gradagree import api as checking
        from gradagree.errors import UsageError

        failure, records = None, []
        try:
            records = checking.check(thing, reference, **options)
        except checking.Disagreement as disagreement:
            failure, records = str(disagreement), disagreement.records
        except UsageError as error:
            failure = str(error)
        kept = request.node.stash.setdefault(RECORDS, [])
        for record in records:
            keep(kept, record, json.dumps(checking.describe_installed(record.framework)))
        if failure is not None:
            pytest.fail(failure, pytrace=False)
        return records

    return check
