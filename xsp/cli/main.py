"""xsp: the operator's program. `xsp NOUN VERB [NAME] [--options]`."""

from typing import Annotated

import typer

from xsp.cli import aggregate, audit, context, customer, neighbour, render, site, table
from xsp.cli.context import DEFAULT_DATABASE, DryRun, Json, Quiet, Reason, Settings, refusing

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The office of a multihoming service provider: sites, customers, prefixes, and their files.",
)
app.add_typer(aggregate.app, name="aggregate")
app.add_typer(site.app, name="site")
app.add_typer(neighbour.app, name="neighbour")
app.add_typer(customer.app, name="customer")
app.add_typer(table.app, name="table")
app.add_typer(audit.app, name="audit")
app.command("render")(render.render)


@app.callback()
def options(
    ctx: typer.Context,
    database: Annotated[str, typer.Option(metavar="URL", help="The registry.")] = DEFAULT_DATABASE,
) -> None:
    """Options of every command."""
    ctx.obj = Settings(database)


@app.command()
@refusing
def init(
    ctx: typer.Context,
    local_as: Annotated[int, typer.Option("--as", metavar="N", help="The xSP's AS number.")],
    dry_run: DryRun = False,
    reason: Reason = "",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make an empty registry, its key file and its signing key."""
    from xsp.registry import Registry

    settings: Settings = ctx.obj
    result = Registry.create(settings.database, local_as, context.change_options(dry_run, reason, None))
    context.show(result, f"registry {settings.database} made for AS {local_as}", as_json=as_json, quiet=quiet)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
