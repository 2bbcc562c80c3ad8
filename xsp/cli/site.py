"""`xsp site`: the sites of the home agents."""

from typing import TYPE_CHECKING, Annotated

import typer

from xsp.cli import context, values
from xsp.cli.context import DryRun, IdempotencyKey, Json, Quiet, Reason, refusing
from xsp.errors import Refused
from xsp.exits import Exit
from xsp.model import Role

if TYPE_CHECKING:
    from xsp.certificates import Certificates

app = typer.Typer(no_args_is_help=True, help="Sites of the home agents.")


@app.command()
@refusing
def add(
    ctx: typer.Context,
    name: str,
    locator: Annotated[str, typer.Option(help="The site's own address, from its ISP.")],
    gateway: Annotated[str | None, typer.Option(help="The site's default gateway.")] = None,
    neighbour_as: Annotated[int | None, typer.Option(min=1, max=2**32 - 1, help="The ISP's AS number.")] = None,
    role: Annotated[
        Role, typer.Option(help="A home agent, a reflector of what the others say, or both.")
    ] = Role.HOME_AGENT,
    neighbour: Annotated[str | None, typer.Option(help="The ISP's BGP address; the gateway if not given.")] = None,
    local_address: Annotated[
        str | None, typer.Option(help="Our end of the BGP session, if not the locator: needed for IPv4.")
    ] = None,
    bgp_next_hop: Annotated[
        str | None, typer.Option("--next-hop", help="Ours: announce the other family over this session, too.")
    ] = None,
    interface: Annotated[str, typer.Option(help="The interface towards the ISP.")] = "isp",
    home_agent_set: Annotated[str, typer.Option("--set", help="The set of home agents it belongs to.")] = "default",
    mrai_s: Annotated[
        int, typer.Option("--mrai", min=0, max=120, help="The ISP's advertisement interval, seconds.")
    ] = 0,
    dry_run: DryRun = False,
    reason: Reason = "",
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add a site with its first BGP neighbour; then render its files and those of the other sites again."""
    from xsp.model import Neighbour, Site

    if role is Role.REFLECTOR:
        if gateway or neighbour_as or neighbour or local_address or bgp_next_hop:
            raise Refused("a reflector alone has no gateway and no neighbours", "Leave them out", Exit.USAGE)
        site = Site(name, home_agent_set, values.address(locator), "", None, "", (), role)
    elif gateway is None or neighbour_as is None:
        raise Refused("a home agent needs --gateway and --neighbour-as", "Give them, or --role reflector", Exit.USAGE)
    else:
        next_hop = values.address(gateway)
        first = Neighbour(
            values.any_address(neighbour) if neighbour else next_hop,
            neighbour_as,
            mrai_s=mrai_s,
            local_address=values.any_address(local_address) if local_address else None,
            next_hop=values.any_address(bgp_next_hop) if bgp_next_hop else None,
        )
        site = Site(name, home_agent_set, values.address(locator), interface, next_hop, "", (first,), role)
    options = context.change_options(dry_run, reason, idempotency_key)
    result = context.registry(ctx).add_site(site, options)
    context.show(result, f"site {name} added: {result['locator']}", as_json=as_json, quiet=quiet)


@app.command("role")
@refusing
def role_(
    ctx: typer.Context,
    name: str,
    role: Role,
    dry_run: DryRun = False,
    reason: Reason = "",
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a home agent a reflector as well (both), or no longer (home-agent); then render all sites of the set."""
    from xsp import roles

    options = context.change_options(dry_run, reason, idempotency_key)
    result = roles.change(context.registry(ctx).database, name, role, options)
    context.show(result, f"site {name} is {role} now", as_json=as_json, quiet=quiet)


@app.command("issue-certificate")
@refusing
def issue_certificate(
    ctx: typer.Context,
    name: str,
    days: Annotated[int, typer.Option(help="How long it is good.")] = 397,
    dry_run: DryRun = False,
    reason: Reason = "",
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Issue a new certificate; then render the site's files and hand them over: xsp-ha takes them while it runs."""
    options = context.change_options(dry_run, reason, idempotency_key)
    result = _certificates(ctx).issue(name, days, options)
    text = f"certificate {result['serial']} of {name} issued, good until {result['not_after']}"
    context.show(result, text, as_json=as_json, quiet=quiet)


@app.command("revoke-certificate")
@refusing
def revoke_certificate(
    ctx: typer.Context,
    name: str,
    serial: Annotated[str | None, typer.Option(help="Only this one; otherwise all that are good.")] = None,
    dry_run: DryRun = False,
    reason: Reason = "",
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Revoke a site's certificates; then render the other sites' files and hand them over: they cut it off."""
    options = context.change_options(dry_run, reason, idempotency_key)
    result = _certificates(ctx).revoke(name, serial, options)
    text = f"{len(result['revoked'])} certificate(s) of {name} revoked"
    context.show(result, text, as_json=as_json, quiet=quiet)


@app.command()
@refusing
def certificates(ctx: typer.Context, name: str, as_json: Json = False, quiet: Quiet = False) -> None:
    """List a site's certificates."""
    rows = _certificates(ctx).list(name)
    context.show(rows, context.table(rows, "no certificates"), as_json=as_json, quiet=quiet)


@app.command()
@refusing
def show(ctx: typer.Context, name: str, as_json: Json = False, quiet: Quiet = False) -> None:
    """Show one site."""
    from xsp.registry import site_json

    found = site_json(context.registry(ctx).site(name))
    lines = [f"{key}: {value}" for key, value in found.items() if key != "neighbours"]
    lines.append(context.table(found["neighbours"], "no neighbours"))
    context.show(found, "\n".join(lines), as_json=as_json, quiet=quiet)


@app.command("list")
@refusing
def list_(ctx: typer.Context, as_json: Json = False, quiet: Quiet = False) -> None:
    """List the sites."""
    from xsp.registry import site_json

    rows = [site_json(site) for site in context.registry(ctx).sites()]
    brief = [{**row, "neighbours": [one["address"] for one in row["neighbours"]]} for row in rows]
    context.show(rows, context.table(brief, "no sites"), as_json=as_json, quiet=quiet)


def _certificates(ctx: typer.Context) -> "Certificates":
    from xsp.certificates import Certificates

    registry = context.registry(ctx)
    return Certificates(registry.database, registry.vault)
