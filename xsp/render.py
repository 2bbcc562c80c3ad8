"""From the registry to files: which templates a site or a customer needs, and what stands in their holes.

Owns the decisions; the templates hold only text. Every name a template uses must be given: a missing one is an error.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from xsp.errors import Refused
from xsp.model import Customer, File, Office, Site

SITE_FILES = ("ha.toml", "bgp.toml", "exabgp.conf", "bfdd.conf", "neighbour-frr.conf")
BFD = {"interval_ms": 50, "multiplier": 3}  # 10 ms x 3 flapped when measured, 50 ms x 3 never did
# Where files and programs may lie: what stands in ExaBGP's `run` line is split on blanks.
_BLANKS = " \t\n\"'"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the rendered files, the state, the sockets and the programs are."""

    configuration: Path
    state_root: Path
    run_root: Path
    programs: Path


def site_files(
    site: Site,
    peers: Sequence[Site],
    office: Office,
    aggregates: Sequence[IPv6Network],
    public_key: bytes,
    cookie_key: bytes,
    places: Places,
) -> dict[str, File]:
    """Name -> file of everything a site needs, and what its ISP is to be given. Raises: Refused."""
    if not aggregates:
        raise Refused("there is no aggregate to announce", "Run 'xsp aggregate add PREFIX' first")
    values = {
        **_places(places, site.name),
        "site": site,
        "peers": peers,
        "local_as": office.local_as,
        "home_agent_address": office.home_agent_address,
        "aggregates": aggregates,
        "families": ["ipv6"],
        "public_key": base64.b64encode(public_key).decode(),
        "program_directory": places.programs,
        "bfd": BFD,
    }
    cookie = base64.b64encode(cookie_key).decode() + "\n"
    files = {name: File(_fill(f"{name}.j2", values)) for name in SITE_FILES}
    return {**files, "cookie.key": File(cookie, secret=True)}


def customer_files(customer: Customer, secret: bytes, office: Office, places: Places) -> dict[str, File]:
    """Name -> file of everything a customer's mobile router needs. Raises: Refused."""
    values = {
        **_places(places, customer.name),
        "customer": customer,
        "home_agent_address": office.home_agent_address,
    }
    key = base64.b64encode(secret).decode() + "\n"
    return {"mr.toml": File(_fill("mr.toml.j2", values)), "mr.key": File(key, secret=True)}


def _places(places: Places, instance: str) -> dict[str, Path]:
    for path in (places.configuration, places.programs):
        if any(blank in str(path) for blank in _BLANKS):
            raise Refused(f"the path {path} contains a blank or a quote", "Use a path without: ExaBGP splits on blanks")
    return {
        "configuration_directory": places.configuration,
        "state_directory": places.state_root / instance,
        "run_directory": places.run_root / instance,
    }


def _fill(template: str, values: Mapping[str, object]) -> str:
    environment = Environment(
        loader=PackageLoader("templates", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the files are configuration, not HTML
    )
    return environment.get_template(template).render(values)
