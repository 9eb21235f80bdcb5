"""The check command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gradagree.cli.options import condition_options, print_error
from gradagree.errors import UsageError, check_target


@click.command()
@click.argument("function", metavar="FUNCTION")
@click.option(
    "--inputs",
    metavar="NAME",
    help="Arguments: a .npz file, or the name of a function that returns them in a tuple or dict.",
)
@click.option("--reference", metavar="NAME", help="Function to compare with (default: the forward pass of FUNCTION).")
@click.option("--framework", metavar="NAME", help="Framework of FUNCTION (default: that of its inputs).")
@click.option("--dtypes", metavar="LIST", help="Dtypes to check in (default: those of the inputs).")
@click.option("--modes", default="reverse", show_default=True, metavar="LIST", help="Modes: reverse, forward or all.")
@click.option("--order", default=1, show_default=True, metavar="N", help="2: check second derivatives as well.")
@click.option("--wrt", metavar="LIST", help="Arrays to differentiate, such as 0,weight (default: all).")
@click.option(
    "--arithmetic", default="auto", show_default=True, metavar="NAME", help="Intermediates: auto, wide or stored."
)
@condition_options
@click.option(
    "--modules/--no-modules",
    default=None,
    help="Also check a module operation by operation (default: large ones, only so).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON instead of a table.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write the report as a page.")
def check(
    function: str, inputs: str | None, reference: str | None, framework: str | None, dtypes: str | None, modes: str,
    order: int, wrt: str | None, arithmetic: str, cotangents: str | None, layouts: bool, repeat: int, save: Path | None,
    modules: bool | None, as_json: bool, html: Path | None,
) -> int:  # fmt: skip
    """Check the gradients of any function: a kernel, a custom backward pass, a module. A layer needs no inputs.

    FUNCTION, like every NAME, is module:function or file.py:function; the file or module is executed. The exit code
    is 0 if all gradients are right, 1 if a verdict fails, 5 if nothing was compared.
    """
    from gradagree.functions.inputs import report_by_inputs
    from gradagree.functions.layers import is_layer, layer_report
    from gradagree.functions.message import format_report
    from gradagree.functions.targets import load_cotangents, load_inputs, load_target
    from gradagree.functions.usage import nothing_compared

    thing, other = load_target(function, "check"), reference and load_target(reference, "--reference")
    if inputs is None and not is_layer(thing):
        raise UsageError("check: give the arguments of the function with --inputs: a .npz file, or module:function")
    page = None if html is None else check_target("--html", html, ".html")
    chosen: Any = None if wrt is None else [int(one) if one.isdigit() else one for one in wrt.split(",")]
    seeds, given = cotangents and load_cotangents(cotangents), inputs and load_inputs(inputs)
    options = {"order": order, "arithmetic": arithmetic, "cotangents": seeds, "layouts": layouts, "repeat": repeat}
    if is_layer(thing):
        refuse_for_layer({"--reference": reference, "--wrt": wrt, "--modules": modules})
        report = layer_report(thing, framework, modes, dtypes, given, save=save, **options)
    else:
        options |= {"wrt": chosen, "modules": modules}
        report = report_by_inputs(thing, other, given, framework, modes, dtypes, save, **options)
    click.echo(report.to_json().decode() if as_json else format_report(report))
    if page is not None:
        click.echo(f"Written: {report.to_html(page)}", err=as_json)
    if (sentence := nothing_compared(report)) is not None:
        print_error(f"gradagree: {report.function}: {sentence}")
        return 5
    return 1 if report.verdict.fails else 0


def refuse_for_layer(options: dict[str, Any]) -> None:
    """Raises UsageError for the first option that is given although a layer has no use for it."""
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"{name} does not apply to a layer, whose value is the reference; leave it out")
