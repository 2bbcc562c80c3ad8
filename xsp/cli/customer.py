"""`xsp customer`: who gets a prefix, over which lines."""

from enum import StrEnum
from typing import Annotated

import typer

from xsp.cli import context, values
from xsp.cli.context import DryRun, IdempotencyKey, Json, Quiet, Reason, refusing

app = typer.Typer(no_args_is_help=True, help="Customers, their prefixes and lines.")


class Algorithm(StrEnum):
    """How Binding Updates are authenticated; the second is RFC 4285's own, for other vendors' routers."""

    HMAC_SHA256_128 = "hmac-sha256-128"
    HMAC_SHA1_96 = "hmac-sha1-96"


@app.command()
@refusing
def add(
    ctx: typer.Context,
    name: str,
    uplink: Annotated[list[str], typer.Option(metavar=values.UPLINK_FORM, help="A line; once for each.")],
    prefix_length: Annotated[int, typer.Option(help="How large a prefix.")] = 56,
    ipv4_length: Annotated[int | None, typer.Option(help="How large a network of IPv4 as well.")] = None,
    algorithm: Annotated[Algorithm, typer.Option(help="How its router authenticates.")] = Algorithm.HMAC_SHA256_128,
    dry_run: DryRun = False,
    reason: Reason = "",
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add a customer: allocates a home address and a prefix, makes a key."""
    options = context.change_options(dry_run, reason, idempotency_key)
    lines = values.uplinks(uplink)
    result = context.registry(ctx).add_customer(name, prefix_length, lines, algorithm.value, options, ipv4_length)
    prefixes = ", ".join(result["prefixes"])
    text = f"customer {name}: prefix {prefixes}, home address {result['home_address']}, SPI {result['spi']}"
    context.show(result, text, as_json=as_json, quiet=quiet)


@app.command()
@refusing
def suspend(
    ctx: typer.Context,
    name: str,
    dry_run: DryRun = False,
    reason: Reason = "",
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Refuse a customer's registrations and take its routes out, from the next published table on."""
    options = context.change_options(dry_run, reason, idempotency_key)
    result = context.registry(ctx).set_customer_state(name, "suspended", options)
    context.show(result, f"customer {name} suspended; publish the table now", as_json=as_json, quiet=quiet)


@app.command()
@refusing
def activate(
    ctx: typer.Context,
    name: str,
    dry_run: DryRun = False,
    reason: Reason = "",
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve a suspended customer again, from the next published table on."""
    options = context.change_options(dry_run, reason, idempotency_key)
    result = context.registry(ctx).set_customer_state(name, "active", options)
    context.show(result, f"customer {name} active; publish the table now", as_json=as_json, quiet=quiet)


@app.command()
@refusing
def show(ctx: typer.Context, name: str, as_json: Json = False, quiet: Quiet = False) -> None:
    """Show one customer; never its key."""
    from xsp.registry import customer_json

    found = customer_json(context.registry(ctx).customer(name))
    lines = [f"{key}: {value}" for key, value in found.items() if key != "uplinks"]
    lines.append(context.table(found["uplinks"], "no lines"))
    context.show(found, "\n".join(lines), as_json=as_json, quiet=quiet)


@app.command("list")
@refusing
def list_(ctx: typer.Context, as_json: Json = False, quiet: Quiet = False) -> None:
    """List the customers."""
    from xsp.registry import customer_json

    found = [customer_json(customer) for customer in context.registry(ctx).customers()]
    rows = [{**row, "uplinks": [line["name"] for line in row["uplinks"]]} for row in found]
    context.show(found, context.table(rows, "no customers"), as_json=as_json, quiet=quiet)
