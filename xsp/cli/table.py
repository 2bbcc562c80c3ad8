"""`xsp table`: what the sites are told about customers."""

from pathlib import Path
from typing import Annotated

import typer

from xsp.cli import context
from xsp.cli.context import DryRun, IdempotencyKey, Json, Quiet, Reason, refusing

app = typer.Typer(no_args_is_help=True, help="The customer table that the sites live by.")


@app.command()
@refusing
def publish(
    ctx: typer.Context,
    output: Annotated[list[Path], typer.Option(metavar="FILE", help="Where a site reads it; once for each.")],
    home_agent_set: Annotated[str, typer.Option("--set", help="The set of home agents it is for.")] = "default",
    dry_run: DryRun = False,
    reason: Reason = "",
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the signed table, with a version that only grows. The sites take it over by themselves."""
    from xsp.files import write_all
    from xsp.model import File
    from xsp.publish import render_table

    registry = context.registry(ctx)
    options = context.change_options(dry_run, reason, idempotency_key)
    customers = registry.customers()
    version = registry.next_table_version(options)
    text = render_table(customers, registry.secrets(), version, home_agent_set, registry.signing_key())
    if not dry_run:
        write_all({path: File(text, secret=True) for path in output})
    result = {"version": version, "customers": len(customers), "files": [str(path) for path in output]}
    said = f"customer table {version} with {len(customers)} customers: {', '.join(result['files'])}"  # type: ignore[arg-type]
    context.show(result, said, as_json=as_json, quiet=quiet)
