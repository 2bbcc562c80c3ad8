"""From the registry to files: which templates a site or a customer needs, and what stands in their holes.

Owns the decisions; the templates hold only text. Every name a template uses must be given: a missing one is an error.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from xsp import topology
from xsp.errors import Refused
from xsp.model import Address, Customer, File, Neighbour, Office, Role, Site, SiteCertificates

SITE_FILES = ("ha.toml", "bgp.toml")
NEIGHBOUR_FILES = ("frr", "bird")  # of each neighbour, in the language of either program
BFD = {"interval_ms": 50, "multiplier": 3}  # 10 ms x 3 flapped when measured, 50 ms x 3 never did
# Where files and programs may lie: what stands in ExaBGP's `run` line is split on blanks.
_BLANKS = " \t\n\"'"
Aggregate = IPv6Network | IPv4Network


@dataclass(frozen=True, slots=True)
class Places:
    """Where the rendered files, the state, the sockets and the programs are."""

    configuration: Path
    state_root: Path
    run_root: Path
    programs: Path


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a site's files hold beyond public data: the table's public key, the set's cookie key, MD5 passwords, and
    certificates.
    """

    public_key: bytes
    cookie_key: bytes
    passwords: Mapping[Address, str]
    certificates: SiteCertificates | None


def site_files(
    site: Site,
    peers: Sequence[Site],
    office: Office,
    aggregates: Sequence[IPv6Network],
    secrets: Secrets,
    places: Places,
    ipv4_aggregates: Sequence[IPv4Network] = (),
) -> dict[str, File]:
    """Name -> file of everything a site needs, and what its neighbours are to be given. Raises: Refused."""
    if not aggregates:
        raise Refused("there is no aggregate to announce", "Run 'xsp aggregate add PREFIX' first")
    certificates, passwords = secrets.certificates, secrets.passwords
    # Without a neighbour that would take them, those of IPv4 are forwarded all the same: somebody else announces them.
    forwarded: list[Aggregate] = [*aggregates, *ipv4_aggregates]
    announced = [aggregate for aggregate in forwarded if site.announces(aggregate.version)]
    if peers and certificates is None:
        what = f"{site.name} has no certificate that is good, by which its peers would know it"
        raise Refused(what, f"Run 'xsp site issue-certificate {site.name}'")
    values: dict[str, object] = {
        **_places(places, site.name),
        "site": site,
        "peers": topology.peers(site, peers),
        "fellows": [peer for peer in peers if peer.role is not Role.REFLECTOR],
        "certified": certificates is not None,
        "local_as": office.local_as,
        "home_agent_address": office.home_agent_address,
        "aggregates": announced,
        "forwarded": forwarded,
        "public_key": base64.b64encode(secrets.public_key).decode(),
        "program_directory": places.programs,
        "bfd": BFD,
        "bfd_neighbours": [neighbour for neighbour in site.neighbours if neighbour.bfd],
        "passwords": passwords,
    }
    if site.role is Role.REFLECTOR:
        return {"ha.toml": File(_fill("reflector.toml.j2", values)), **_certificates(certificates)}
    told = _told(site, announced)
    values["told"] = told
    files = {name: File(_fill(f"{name}.j2", values)) for name in SITE_FILES}
    # xsp-bgp gives the user of ExaBGP a copy.
    files["exabgp.conf"] = File(_fill("exabgp.conf.j2", values), secret=bool(passwords))
    if values["bfd_neighbours"]:
        files["bfdd.conf"] = File(_fill("bfdd.conf.j2", values))
    for neighbour in site.neighbours:
        password = passwords.get(neighbour.address, "")
        own = {**values, "neighbour": neighbour, "password": password, "identifier": _identifier(site, neighbour)}
        own |= {"told": told[neighbour.address], "ours": site.ours(neighbour)}
        for program in NEIGHBOUR_FILES:
            text = _fill(f"neighbour-{program}.conf.j2", own)
            files[neighbour_file(neighbour.address, program)] = File(text, secret=bool(password))
    files["roa.json"] = File(_roas(announced, office.local_as))
    files["irr.txt"] = File(_fill("irr.txt.j2", values))
    files["cookie.key"] = File(base64.b64encode(secrets.cookie_key).decode() + "\n", secret=True)
    return files | _certificates(certificates)


def _certificates(certificates: SiteCertificates | None) -> dict[str, File]:
    if certificates is None:
        return {}
    return {
        "ca.pem": File(certificates.authority),
        "site.pem": File(certificates.certificate),
        "site.key": File(certificates.key, secret=True),
        "revoked.pem": File(certificates.revoked),
    }


def _told(site: Site, announced: Sequence[Aggregate]) -> dict[Address, list[tuple[int, list[Aggregate]]]]:
    """What each neighbour is told: (version of IP, aggregates) for each version that its session carries.

    Raises: Refused if a session would carry nothing, or an aggregate would be announced to nobody.
    """
    of_version = {version: [one for one in announced if one.version == version] for version in (6, 4)}
    told = {
        neighbour.address: [
            (version, prefixes) for version, prefixes in of_version.items() if prefixes and neighbour.carries(version)
        ]
        for neighbour in site.neighbours
    }
    if idle := next((address for address, versions in told.items() if not versions), None):
        what = f"nothing can be announced to the neighbour {idle} of {site.name}: no aggregate is of IPv{idle.version}"
        raise Refused(what, "Add one, or add the neighbour anew with --next-hop")
    if not site.announces(6):
        what = f"no neighbour of {site.name} is told the aggregates of IPv6"
        raise Refused(what, "Add a neighbour of IPv6, or one of IPv4 with --next-hop")
    return told


def _identifier(site: Site, neighbour: Neighbour) -> str:
    """For BIRD; a router that has a session of each family with us can use both files."""
    return site.name.replace("-", "_") + ("_ipv4" if neighbour.address.version == 4 else "")


def neighbour_file(address: Address, program: str) -> str:
    """The name of the file that a neighbour is given: `neighbour-2001-db8--1-frr.conf`."""
    return f"neighbour-{str(address).replace(':', '-')}-{program}.conf"


def _roas(aggregates: Sequence[Aggregate], local_as: int) -> str:
    """What to enter at the resource registry: the aggregates, and no maxLength, so nothing longer (RFC 9319 5)."""
    roas = [{"asn": f"AS{local_as}", "prefix": str(aggregate)} for aggregate in aggregates]
    return json.dumps({"roas": roas}, indent=2) + "\n"


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
