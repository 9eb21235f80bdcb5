"""The list command."""

from __future__ import annotations

import click

from gradagree.cli_options import extensions
from gradagree.errors import UsageError, nearest

LISTS = ("activations", "errors", "frameworks", "modes", "regimes")


@click.command(name="list")
@click.argument("what", metavar="|".join(LISTS))
@extensions
def list_(what: str, ext: tuple[str, ...]) -> int:
    """List the activations, loss functions, frameworks, modes or input distributions that can be named in options."""
    from gradagree.declared import load_all
    from gradagree.listing import print_list

    if what not in LISTS:
        raise UsageError(f"list {what!r}: {nearest(what, LISTS)}")
    load_all(ext)
    print_list(what)
    return 0
