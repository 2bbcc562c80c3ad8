"""`xsp neighbour`: the BGP neighbours of the sites."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xsp.cli import context, values
from xsp.cli.context import DryRun, IdempotencyKey, Json, Quiet, Reason, refusing
from xsp.model import Kind

if TYPE_CHECKING:
    from xsp.neighbours import Neighbours

app = typer.Typer(no_args_is_help=True, help="BGP neighbours of the sites.")
Address = Annotated[str, typer.Argument(metavar="ADDRESS")]
Site = Annotated[str, typer.Argument(metavar="SITE")]


@app.command()
@refusing
def add(
    ctx: typer.Context,
    site: Site,
    address: Address,
    autonomous_system: Annotated[int, typer.Option("--as", metavar="N", help="Its AS number.")],
    kind: Annotated[Kind, typer.Option(help="Whose router it is.")] = Kind.ISP,
    community: Annotated[list[str] | None, typer.Option(metavar="64500:1", help="Sent to it; once for each.")] = None,
    prepend: Annotated[int, typer.Option(metavar="N", help="How often our AS is added to the path.")] = 0,
    med: Annotated[int | None, typer.Option(metavar="N", help="Sent to it; 0 is preferred to more.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the session's MD5 password.")
    ] = None,
    gtsm: Annotated[bool, typer.Option("--gtsm", help="Only packets over one hop (RFC 5082).")] = False,
    bfd: Annotated[
        bool | None, typer.Option(help="Watch each other by BFD.", show_default="yes, with a route reflector no")
    ] = None,
    mrai_s: Annotated[int, typer.Option("--mrai", metavar="N", help="Its advertisement interval, seconds.")] = 0,
    local_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Our end of the session, if not the locator: needed for IPv4.")
    ] = None,
    next_hop: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Ours: announce the aggregates of the other family with it, too."),
    ] = None,
    dry_run: DryRun = False,
    reason: Reason = "",
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add a neighbour to a site; then render the site's files again."""
    from xsp.model import Neighbour

    neighbour = Neighbour(
        values.any_address(address),
        autonomous_system,
        kind,
        tuple(community or ()),
        prepend,
        med,
        password_file is not None,
        gtsm,
        kind is not Kind.ROUTE_REFLECTOR if bfd is None else bfd,
        mrai_s,
        values.any_address(local_address) if local_address else None,
        values.any_address(next_hop) if next_hop else None,
    )
    password = _password(password_file) if password_file is not None else ""
    options = context.change_options(dry_run, reason, idempotency_key)
    result = _neighbours(ctx).add(site, neighbour, password, options)
    context.show(result, f"neighbour {result['address']} of {site} added", as_json=as_json, quiet=quiet)


@app.command()
@refusing
def delete(
    ctx: typer.Context,
    site: Site,
    address: Address,
    dry_run: DryRun = False,
    reason: Reason = "",
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Forget a neighbour; then render the site's files again."""
    options = context.change_options(dry_run, reason, idempotency_key)
    result = _neighbours(ctx).delete(site, values.any_address(address), options)
    context.show(result, f"neighbour {result['address']} of {site} deleted", as_json=as_json, quiet=quiet)


@app.command()
@refusing
def show(ctx: typer.Context, site: Site, address: Address, as_json: Json = False, quiet: Quiet = False) -> None:
    """Show one neighbour; never its password."""
    found = _neighbours(ctx).show(site, values.any_address(address))
    text = "\n".join(f"{key}: {value}" for key, value in found.items())
    context.show(found, text, as_json=as_json, quiet=quiet)


@app.command("list")
@refusing
def list_(
    ctx: typer.Context,
    site: Annotated[str | None, typer.Argument(metavar="SITE")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the neighbours of a site, or of all."""
    from xsp.neighbours import neighbour_json

    registry = context.registry(ctx)
    sites = registry.sites() if site is None else [registry.site(site)]
    rows = [{"site": one.name, **neighbour_json(neighbour)} for one in sites for neighbour in one.neighbours]
    context.show(rows, context.table(rows, "no neighbours"), as_json=as_json, quiet=quiet)


def _neighbours(ctx: typer.Context) -> "Neighbours":
    from xsp.neighbours import Neighbours

    registry = context.registry(ctx)
    return Neighbours(registry.database, registry.vault)


def _password(path: Path) -> str:
    """The one line of a file. Raises: Refused."""
    from xsp.errors import Refused

    try:
        password = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"the password file {path} cannot be read ({error})", "Name a file with one line") from error
    if not password:
        raise Refused(f"the password file {path} is empty", "Write the password into it, or leave the option out")
    return password
