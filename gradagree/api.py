"""The Python interface of the commands: check, run and survey."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradagree.adapters import Adapter
from gradagree.cases.case import GRAMMAR, Case
from gradagree.cases.compatibility import adjust_widths, insert_domain_activations, output_activations
from gradagree.cases.graph_case import AnyCase, GraphCase, any_problem, parse_case
from gradagree.cases.text import shorten, split_case
from gradagree.checker.conventions import Conventions
from gradagree.checker.failures import format_failures, replay_command
from gradagree.checker.judge import Framework, judge
from gradagree.checker.proofs import prove_derivatives
from gradagree.checker.response import Absent, Failure, Ready, handshake, respond
from gradagree.checker.verdict import CONVENTION, Record, Verdict
from gradagree.errors import UsageError
from gradagree.functions import graph_check as graph_check
from gradagree.functions.layers import check_with_arrays, is_layer
from gradagree.functions.records import Disagreement as Disagreement
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.parameters import file_of
from gradagree.runner.extensions import extension_files, is_builtin, load_all
from gradagree.runner.known import known_by, mark_known
from gradagree.runner.options import DTYPES, OTHER_DTYPES, Plan, check_limits

if TYPE_CHECKING:
    from gradagree.report.summary import Summary
    from gradagree.runner.process import FrameworkProcess
    from gradagree.surveys.survey import SurveyResult

SHAPES = ("1-1", "3-5b-2", "4-8b-6b-3")
REGIMES = ("ordinary", "grid", "zeros")
KERNEL_SHAPE, KERNEL_BATCH = "2-257b-129", 65
"""Of one more case: sizes beyond those at which kernels change their algorithm."""
EXTREME_SHAPE, EXTREME_BATCH = "5-2", 16
"""Of one more case in each dtype, in which the function takes the extreme inputs itself."""
TIES_SHAPE, TIES_BATCH = "2-4", 31
"""Of one more case of a loss, with so many numbers on a grid that some lie on its kinks."""
OTHER_SHAPE = "3-5b-2"
"""The shape of the cases in `OTHER_DTYPES`."""


def check(
    thing: Any,
    reference: Any = None,
    *,
    inputs: Any = None,
    frameworks: str | None = None,
    modes: str | None = None,
    dtypes: Sequence[str] | None = None,
    case: str | None = None,
    known: str | None = None,
    **options: Any,
) -> Any:
    """Check the gradients of a function, or of a case, in this process. There is no tolerance to choose.

    Args:
        thing: An activation or error function (an instance, or a class that is used with its defaults), a case (or its
            text), a framework's own function, or a `Layer` (a class with all its settings). With inputs, any function.
        reference: For a framework's own function, the activation or error function that it should agree with. With
            inputs, any function with the same arguments, as for `assert_grads`.
        inputs: The arguments of any function or module: a tuple, a dict of keyword arguments, or a function that
            returns one. NumPy's arrays become the framework's. By default the dtypes are then those of the inputs, the
            modes are ``"reverse"``, ``"forward"`` or ``"all"``, and `case` and `known` are not used.
        frameworks: Names separated by commas, such as ``"torch,jax"``; by default all. For a framework's own function,
            the framework that it belongs to.
        modes: Gradient modes separated by commas, such as ``"backward,compile"``, or ``"all"``. By default those that
            do not compile a program for each network; where they compare nothing, the framework's first mode.
        dtypes: The dtypes to check functions in; by default ``float64`` and ``float32``, and fewer cases in
            ``float16`` and ``bfloat16``. A case has its own.
        case: Text of a case, as in a failure, to check the function in; by default several small networks.
        known: File of known differences; by default the project's ``gradagree-known.toml``. ``"none"`` disables it, and
            the known faults of the frameworks.
        options: With inputs, those of `assert_grads`; ``save``: a folder for a failing call; ``modules``: True
            to check a module of PyTorch operation by operation too, as very large ones are.

    Returns:
        One record for each case, framework and mode; none fails but known differences. Or a `Report`, with arrays.

    Raises:
        Disagreement: A verdict fails that is not known. This ``AssertionError`` shows each cause once, the worst first.
        UsageError: A derivative of the reference does not match its value, or nothing could be compared.

    Example:
        >>> import torch
        >>> from gradagree import check
        >>> from gradagree.reference.activations import Gelu
        >>> len(check(torch.nn.functional.gelu, Gelu(), frameworks="torch", modes="backward")) > 20
        True
        >>> import numpy as np
        >>> report = check(torch.sinh, np.sinh, inputs=(np.linspace(-1, 1, 5),), dtypes="float32,bfloat16")
        >>> report.verdict.value, [record.dtype for record in report.records]
        ('agree', ['float32', 'float32', 'bfloat16', 'bfloat16'])
    """
    __tracebackhide__ = True
    if inputs is not None or is_layer(thing):
        return check_with_arrays(thing, reference, inputs, frameworks, modes, dtypes, **options)
    if options:
        raise UsageError(
            f"check() has no option {next(iter(options))!r} without inputs=; give the function's arguments"
        )
    return _check_networks(thing, reference, frameworks, modes, dtypes, case, known)


def _check_networks(
    thing: Any, reference: Any, frameworks: str | None, modes: str | None, dtypes: Sequence[str] | None,
    case: str | None, known: str | None,
) -> list[Record]:  # fmt: skip
    """The records of a function in several small networks, or of a case."""
    __tracebackhide__ = True
    load_all(())
    subject = _resolve(thing, reference, frameworks)
    cases = _small_cases(subject, dtypes) if case is None else [_parse_with(subject, case)]
    named = {one.spec: one for one in cases}
    entries = [one for one in known_by(known) if not (one.upstream and _is_users(thing, reference, frameworks))]
    records, conventions = [], Conventions()
    for record in _records_of_all(cases, frameworks, modes):
        records.append(mark_known(record, entries, named[record.spec]))
        conventions.see(record)
    records += conventions.findings()
    if any(record.verdict.fails and not record.known for record in records):
        raise Disagreement(records, format_failures(records, named, _repeat(thing, reference, subject)))
    if not any(record.verdict.compared for record in records):
        raise UsageError(f"nothing was compared: {'; '.join(dict.fromkeys(record.reason for record in records))}")
    return records


def run(
    *,
    out: str | Path | None = None,
    ext: Sequence[str] = (),
    workers: int | None = None,
    known: str | None = None,
    shrink: float = 0.0,
    **options: Any,
) -> list[Record]:
    """Check gradients on random architectures, as ``gradagree run`` does.

    Each framework runs in its own processes.

    Args:
        out: Results folder to write records and reports to; by default nothing is written.
        ext: Python files that define your own functions or adapters.
        workers: Worker processes for each framework; by default half the number of cores.
        known: File of known differences for the reports in `out`; by default the project's ``gradagree-known.toml``.
            ``"none"`` disables it, and the known faults of the frameworks.
        shrink: Seconds for shrinking failing cases, which needs `out`; by default none.
        options: Those of the command line: ``cases``, ``seed``, ``frameworks``, ``modes``, ``dtypes``,
            ``architectures``, ``activations``, ``errors``, ``regimes``, ``profile``, ``shard``; lists are separated by
            commas.

    Returns:
        A list of records, one for each case, framework and mode.

    Raises:
        UsageError: An option is invalid, or a derivative of the reference does not match its value.

    Example:
        >>> from gradagree import run
        >>> records = run(cases=1, frameworks="torch", modes="backward", activations="tanh", errors="sse", workers=1)
        >>> sorted((record.dtype, record.verdict.value) for record in records)
        [('float32', 'agree'), ('float64', 'agree')]
    """
    from gradagree.runner import campaign
    from gradagree.runner.known import find_known
    from gradagree.runner.results import read_records
    from gradagree.runner.scheduler import process_pool, run_plan

    check_limits(workers=workers, shrink=shrink)
    plan, files = campaign.prepare(ext, options), extension_files(ext)
    entries = find_known(known)
    if out is None:
        return list(run_plan(plan, files, workers or campaign.default_workers()))
    folder = Path(out)
    with process_pool() as kept:
        campaign.execute(
            plan, folder, extensions=files, workers=workers, command=f"gradagree.run(**{options!r})", known=entries,
            kept=kept,
        )  # fmt: skip
        finish_run(folder, shrink, files, kept=kept)
    return list(read_records(folder))


def finish_run(
    folder: Path, shrink: float, extensions: Sequence[str] = (), notify: Callable[[str], None] = lambda text: None,
    kept: dict[str, FrameworkProcess] | None = None,
) -> Summary:  # fmt: skip
    """Shrink the failing cases of a results folder for `shrink` seconds, and write its reports.

    `notify` receives messages; `kept` are running worker processes by framework, which need not be started again.
    """
    from gradagree.report import write_reports
    from gradagree.shrink import shrink_findings

    if shrink:
        shrink_findings(folder, shrink, extensions, notify, kept)
    return write_reports(folder)


def _resolve(thing: Any, reference: Any, frameworks: str | None) -> Any:
    """The activation, error function or case that an argument of `check` means, its derivative verified."""
    if isinstance(thing, str):
        return parse_case(thing)
    if isinstance(thing, type) and issubclass(thing, Activation | ErrorFunction):
        thing = thing()
    if isinstance(reference, type) and issubclass(reference, Activation | ErrorFunction):
        reference = reference()
    if reference is not None and not isinstance(reference, Activation | ErrorFunction):
        raise UsageError(f"the reference {shorten(repr(reference))} is no activation or error function; give an object")
    if reference is not None:
        if frameworks not in Adapter.catalogue:
            raise UsageError(
                f"name the framework of the function: frameworks= must be one of {', '.join(Adapter.catalogue)}"
            )
        prove_derivatives(reference)
        return with_implementation(reference, frameworks, thing)
    if isinstance(thing, Activation | ErrorFunction):
        prove_derivatives(thing)
    elif not isinstance(thing, Case | GraphCase):
        raise UsageError(
            f"cannot check {thing!r}: give an activation, error function or case, or any function with inputs="
        )
    return thing


def with_implementation(reference: Activation | ErrorFunction, framework: str, function: Callable[..., Any]) -> Any:
    """The reference with another implementation in one framework; it is not registered."""
    method = lambda _self, *operands: function(*operands[:-1])  # noqa: E731
    kind = type(f"_{type(reference).__name__}", (type(reference),), {framework: method})
    return kind(**{field.name: getattr(reference, field.name) for field in dataclasses.fields(reference)})


def _is_users(thing: Any, reference: Any, framework: str | None) -> bool:
    """Whether a function with a reference is the user's: no fault of the framework explains its gradients."""
    module = getattr(thing, "__module__", None) or type(getattr(thing, "__self__", None)).__module__
    return reference is not None and hasattr(thing, "__code__") and module.partition(".")[0] != framework


def _small_cases(thing: Any, dtypes: Sequence[str] | None) -> list[AnyCase]:
    """Small networks with the function in every dtype: all shapes and input distributions, large sizes, extreme inputs.

    Without dtypes, 16-bit dtypes have fewer cases.
    """
    if isinstance(thing, Case | GraphCase):
        return [thing]
    named = dtypes.split(",") if isinstance(dtypes, str) else dtypes
    main, other = (DTYPES, OTHER_DTYPES) if named is None else (tuple(named), ())
    drawn = [(shape, 4, regime, dtype) for shape in SHAPES for regime in REGIMES for dtype in main]
    drawn += [(OTHER_SHAPE, 4, regime, dtype) for regime in REGIMES[:2] for dtype in other]
    drawn += [(KERNEL_SHAPE, KERNEL_BATCH, "ordinary", dtype) for dtype in main[:1]]
    drawn += [(EXTREME_SHAPE, EXTREME_BATCH, "extreme", dtype) for dtype in (*main, *other)]
    if isinstance(thing, ErrorFunction):
        drawn += [(TIES_SHAPE, TIES_BATCH, "grid", dtype) for dtype in main[:1]]
    return [_insert(_model(*one), thing) for one in drawn]


def _model(shape: str, batch: int, regime: str, dtype: str) -> Case:
    """A network of identities with the sum of squares."""
    case = Case.parse(f"{shape}:id*{shape.count('-')}:sse:n{batch}:f64:{regime}:s1")
    return dataclasses.replace(case, dtype=dtype)


def _insert(case: Case, thing: Any) -> Case:
    """The case with the function at every position that admits it, among functions and widths that fit it.

    The first position is the identity's; extreme inputs are those of the function itself.
    """
    error, activations = case.error, (case.activations[0], *[thing] * len(case.activations))
    widths = case.widths
    if isinstance(thing, ErrorFunction):
        error, widths = thing, (*widths[:-1], max(widths[-1], 2))
        out = [] if error.domain == "real" else output_activations(error, [])
        activations = (*case.activations, *out)
    elif case.regime == "extreme":
        activations = (thing,)
    activations = insert_domain_activations(activations)
    widths = adjust_widths(widths, activations, error)
    return dataclasses.replace(case, error=error, activations=activations, widths=widths)


def _parse_with(subject: Any, text: str) -> Case:
    """The case of a text, with the function wherever the text has its name."""
    if isinstance(subject, Case | GraphCase):
        raise UsageError("case= gives the network to check a function in; leave it out where a case is checked")
    parts, name = split_case(str(text)), str(subject)
    if len(parts.parts) < 7:
        raise UsageError(f"case= {shorten(str(text))!r} is no case: write {GRAMMAR}, with {name} in it")
    if name not in (*parts.activations, parts.error):
        raise UsageError(f"case= {shorten(str(text))!r} does not have {name}: write {name} where it is to be checked")
    is_error = isinstance(subject, ErrorFunction)
    others = [f"{'id' if one == name and not is_error else one}*{count}" for one, count in parts.runs]
    error = "sse" if is_error else parts.error
    plain = Case.parse(":".join([parts.parts[0], ",".join(others), error, *parts.parts[3:]]))
    if is_error:
        return dataclasses.replace(plain, error=subject)
    names = [one for one, count in parts.runs for _ in range(count)]
    activations = [subject if one == name else f for one, f in zip(names, plain.activations, strict=True)]
    return dataclasses.replace(plain, activations=tuple(activations))


def _repeat(thing: Any, reference: Any, subject: Any) -> Callable[[Record], str]:
    """What shows a failure of a check again: a command line, or Python for a function that only this process has."""
    kind = type(subject)
    if reference is None and (isinstance(subject, Case | GraphCase) or is_builtin(kind)):
        return replay_command
    file = file_of(kind)
    if reference is None and file and kind.__module__ != "__main__" and _is_registered(kind):
        return lambda record: replay_command(record, "--ext", file)

    def call(record: Record) -> str:
        if record.spec.startswith(CONVENTION):
            return f"in Python: check({', '.join(operands)}, modes={record.mode!r})"
        where = f"frameworks={record.framework!r}, modes={record.mode!r}, case={record.spec!r}"
        return f"in Python: check({', '.join(operands)}, {where})"

    operands = [_expression(thing), *([] if reference is None else [_expression(reference)])]
    return call


def _is_registered(kind: type) -> bool:
    return any(known is kind for base in (Activation, ErrorFunction) for known in base.catalogue.values())


def _expression(thing: Any) -> str:
    """Python for a function: its name, or the call that made its object, else ``function``."""
    if isinstance(thing, Activation | ErrorFunction):
        fields = [(one.name, getattr(thing, one.name), one.default) for one in dataclasses.fields(thing)]
        return f"{type(thing).__name__}({', '.join(f'{name}={x!r}' for name, x, usual in fields if x != usual)})"
    owner, kind = getattr(thing, "__self__", None), type(thing)
    if isinstance(owner, type):
        name = f"{owner.__qualname__}.{thing.__name__}"
    else:
        shown = " ".join(repr(thing).split())
        made = f"{kind.__module__}.{shown}" if shown.startswith(f"{kind.__name__}(") else "function"
        name = getattr(thing, "__qualname__", made)
    name = name.rpartition("<locals>.")[2].removeprefix("__main__.")
    return "function" if "<" in name else name


def _records_of_all(cases: Sequence[AnyCase], frameworks: str | None, modes: str | None) -> Iterator[Record]:
    """The records of all frameworks; without modes, of those that compile nothing for each network."""
    plan = Plan.of(cases, frameworks, modes)
    for name in plan.frameworks:
        offered = [mode for mode in plan.modes if mode.partition(":")[0] == name]
        fast = [mode for mode in offered if not Adapter.mode(mode).compiles]
        compared = False
        for record in _records_of(name, plan if modes else Plan.of(cases, name, ",".join(fast or offered[:1]))):
            compared |= record.verdict is not Verdict.UNSUPPORTED
            yield record
        if not (compared or modes) and offered[0] not in fast:
            yield from _records_of(name, Plan.of(cases, name, offered[0]))


def _records_of(name: str, plan: Plan) -> Iterator[Record]:
    """The records of one framework."""
    adapter, ready = _probe(name)
    framework = Framework.of(name, ready)
    for number, case in plan.draw_cases():
        arrays = case.arrays()
        for mode in plan.modes_of(name, number):
            if adapter is None:
                response: Any = Failure(mode, Verdict.ABSENT, ready.reason if isinstance(ready, Absent) else "")
            else:
                with adapter.settings():
                    response = respond(adapter, any_problem(case, arrays), mode)
            yield judge(case, arrays, framework, response, number)


def describe_installed(name: str) -> dict[str, Any]:
    """The entry in ``meta.json`` of a framework as it is in this process."""
    from gradagree.runner.campaign import describe_framework

    return describe_framework(_probe(name)[1])


@functools.cache
def _probe(name: str) -> tuple[Adapter | None, Ready | Absent]:
    """The framework in this process and its handshake; no adapter if it is not installed."""
    try:
        adapter = Adapter.catalogue[name]()
    except ImportError as missing:
        return None, Absent(f"not installed ({missing}): {Adapter.catalogue[name].install}")
    with adapter.settings():
        return adapter, handshake(adapter)


def survey(
    *,
    out: str | Path | None = None,
    ext: Sequence[str] = (),
    progress: Callable[[str], Any] = lambda text: None,
    **options: Any,
) -> SurveyResult:
    """Measure the error of each function on a grid of inputs, as ``gradagree survey`` does.

    Args:
        out: Folder to write the pages to; by default nothing is written.
        ext: Python files that define your own functions or adapters.
        progress: Called with a line of text for each function and dtype.
        options: Those of the command line: ``profile``, ``activations``, ``errors``, ``frameworks``, ``modes``,
            ``dtypes``; lists are separated by commas.

    Returns:
        The survey; its ``findings`` are the worst first, each with a program that reproduces it.

    Raises:
        UsageError: An option is invalid, or the folder cannot be written.

    Example:
        >>> from gradagree import survey
        >>> found = survey(activations="id", errors="sse", frameworks="torch", modes="backward", dtypes="float16")
        >>> [(finding.function, finding.kind, finding.severity) for finding in found.findings]
        [('id', 'NaN lost', 'low')]
    """
    from gradagree.surveys.plan import SurveyPlan
    from gradagree.surveys.results import add_reproducers, prepare_folder, write_survey
    from gradagree.surveys.survey import run_survey

    plan = SurveyPlan.make(own=load_all(ext).named, **options)
    folder = None if out is None else prepare_folder(Path(out))
    found = run_survey(plan, extension_files(ext), progress)
    add_reproducers(found, plan.profile.thorough)
    if folder is not None and found.versions:
        profile = options.get("profile", "quick")
        write_survey(found, plan, profile, folder, f"gradagree.survey(**{options!r})")
    return found
