"""`xsp aggregate`: the prefixes that every site announces."""

from typing import Annotated

import typer

from xsp.cli import context, values
from xsp.cli.context import DryRun, IdempotencyKey, Json, Quiet, Reason, refusing

app = typer.Typer(no_args_is_help=True, help="Prefixes that every site announces.")


@app.command()
@refusing
def add(
    ctx: typer.Context,
    prefix: Annotated[str, typer.Argument(metavar="PREFIX")],
    dry_run: DryRun = False,
    reason: Reason = "",
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add an aggregate; customers' prefixes are allocated from it."""
    options = context.change_options(dry_run, reason, idempotency_key)
    result = context.registry(ctx).add_aggregate(values.network(prefix), options)
    context.show(result, f"aggregate {result['prefix']} added", as_json=as_json, quiet=quiet)


@app.command("list")
@refusing
def list_(ctx: typer.Context, as_json: Json = False, quiet: Quiet = False) -> None:
    """List the aggregates."""
    registry = context.registry(ctx)
    rows = [{"prefix": str(prefix)} for prefix in (*registry.aggregates(), *registry.ipv4_aggregates())]
    context.show(rows, context.table(rows, "no aggregates"), as_json=as_json, quiet=quiet)
