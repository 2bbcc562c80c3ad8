"""`xsp audit`: who changed what, when and why."""

import dataclasses
from typing import Annotated

import typer

from xsp.cli import context
from xsp.cli.context import Json, Quiet, refusing

app = typer.Typer(no_args_is_help=True, help="Who changed what, when and why.")


@app.command("list")
@refusing
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10000, help="How many, newest first.")] = 50,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the last changes."""
    rows = [dataclasses.asdict(entry) for entry in context.registry(ctx).audit(limit)]
    context.show(rows, context.table(rows, "no changes"), as_json=as_json, quiet=quiet)
