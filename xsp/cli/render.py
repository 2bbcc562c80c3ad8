"""`xsp render`: every file that a site or a customer needs."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from xsp.cli import context
from xsp.cli.context import DryRun, Json, Quiet, refusing


@refusing
def render(
    ctx: typer.Context,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go; their own paths point there, too.")],
    site: Annotated[str | None, typer.Option(help="Render this site's files and what its ISP needs.")] = None,
    customer: Annotated[str | None, typer.Option(help="Render this customer's router's files.")] = None,
    state_root: Annotated[Path, typer.Option(help="State goes below here.")] = Path("/var/lib/anycast-xsp"),
    run_root: Annotated[Path, typer.Option(help="Sockets go below here.")] = Path("/run/anycast-xsp"),
    program_directory: Annotated[Path | None, typer.Option(help="Where xsp-bgp lies; beside xsp if not given.")] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Render the files of a site or a customer, proved by the programs that will read them; all or none are written."""
    from xsp.check import check
    from xsp.errors import Refused
    from xsp.exits import Exit
    from xsp.files import write_all
    from xsp.neighbours import Neighbours
    from xsp.render import Places, Secrets, customer_files, site_files
    from xsp.signing import public_key

    if (site is None) == (customer is None):
        raise Refused("either a site or a customer is rendered", "Give one of --site and --customer", Exit.USAGE)
    registry = context.registry(ctx)
    programs = program_directory or _beside()
    if site is not None and not (programs / "xsp-bgp").is_file():
        raise Refused(f"there is no xsp-bgp in {programs}", "Name its folder with --program-directory", Exit.MISSING)
    places = Places(output.absolute(), state_root.absolute(), run_root.absolute(), programs.absolute())
    office = registry.office()
    if site is not None:
        here = registry.site(site)
        peers = [one for one in registry.sites() if one.name != site and one.home_agent_set == here.home_agent_set]
        key = public_key(registry.signing_key())
        cookie_key = registry.cookie_key(here.home_agent_set)
        passwords = Neighbours(registry.database, registry.vault).passwords(site)
        secrets = Secrets(key, cookie_key, passwords)
        files = site_files(here, peers, office, registry.aggregates(), secrets, places, registry.ipv4_aggregates())
    else:
        assert customer is not None
        files = customer_files(registry.customer(customer), registry.secret(customer), office, places)
    check(files)
    if not dry_run:
        write_all({places.configuration / name: file for name, file in files.items()})
    names = [str(places.configuration / name) for name in files]
    context.show({"files": names}, "\n".join(names), as_json=as_json, quiet=quiet)


def _beside() -> Path:
    """Where the other programs of this installation are."""
    found = shutil.which("xsp-bgp")
    return Path(found).parent if found else Path(sys.argv[0]).absolute().parent
