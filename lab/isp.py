"""An Internet service provider of the lab: FRR's configuration, the ingress filter, and what its RIB says.

Owns what an ISP would configure whether or not we exist; the neighbour block towards a site is the one that the office
rendered. The ISPs apply BCP 38: from a customer's line only that line's addresses, from a site the aggregate as well.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.netns import command
from lab.topology import SITES, Isp, locator
from runtime.exits import Exit

FRR = Path("/usr/lib/frr")
FILTER_TABLE = "lab_ingress"
_BASE = """\
hostname {name}
bgp route-map delay-timer 0
bgp community-list standard SHUTDOWN seq 5 permit 65535:0
route-map MESH-IN permit 10
 match community SHUTDOWN
 set local-preference 0
exit
route-map MESH-IN permit 20
exit
route-map MESH-OUT permit 10
exit
router bgp {asn}
 bgp router-id 192.0.2.{host}
 bgp bestpath compare-routerid
 no bgp default ipv4-unicast
 no bgp network import-check
{neighbours}
 address-family ipv6 unicast
  network {prefix}
{activations}
 exit-address-family
"""
_NEIGHBOUR = """\
 neighbor {address} remote-as {asn}
 neighbor {address} advertisement-interval {mrai_s}
 neighbor {address} timers 1 3
 neighbor {address} timers connect 1"""
_ACTIVATION = """\
  neighbor {address} activate
  neighbor {address} route-map MESH-IN in
  neighbor {address} route-map MESH-OUT out"""


@dataclass(frozen=True, slots=True)
class Best:
    """The way an ISP would send a packet for a prefix now: `neighbour` is the peer it chose, None if it has none."""

    neighbour: str | None
    communities: tuple[str, ...] = ()
    offers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # every neighbour with a way -> its communities

    @property
    def site(self) -> str | None:
        """The site itself, if the ISP hands packets to it directly."""
        return next((site for site in SITES if locator(site) == self.neighbour), None)


def frr_configuration(isp: Isp, mrai_s: int = 0) -> str:
    """The ISP's own part: its prefix and its neighbours, to which it sends updates `mrai_s` seconds apart at least.

    It honours GRACEFUL_SHUTDOWN on every EBGP session, as RFC 8326 4.1 asks.
    """
    peers = [{"address": _peer(isp, other), "asn": 64500 + other, "mrai_s": mrai_s} for other in isp.peers]
    return _BASE.format(
        name=isp.name,
        asn=isp.autonomous_system,
        host=100 + isp.number,
        prefix=isp.prefix,
        neighbours="\n".join(_NEIGHBOUR.format(**peer) for peer in peers),
        activations="\n".join(_ACTIVATION.format(**peer) for peer in peers),
    )


def _peer(isp: Isp, other: int) -> str:
    low, high = sorted((isp.number, other))
    return f"2001:db8:ff:{low}{high}::{other}"


def ingress_filter(isp: Isp) -> str:
    """The nft table: what may come in from whom, counted where it was dropped."""
    rules = [
        f'  iifname "{access.interface}" ip6 saddr != {{ fe80::/10, {", ".join(access.sources)} }} counter drop'
        for access in isp.access
    ]
    chain = " chain from_customers {\n  type filter hook prerouting priority -300; policy accept;\n"
    return f"table ip6 {FILTER_TABLE} {{\n{chain}" + "\n".join(rules) + "\n }\n}\n"


def frr_directory(folder: Path, node: str) -> Path:
    """A directory for a node's FRR daemons, owned by their user. Raises: LabError."""
    path = folder / node
    path.mkdir(mode=0o755, exist_ok=True)
    try:
        shutil.chown(path, "frr", "frr")
    except LookupError as error:
        raise LabError("the user frr does not exist", "install FRR from its package", Exit.MISSING) from error
    return path


def frr_words(daemon: str, directory: Path, configuration: Path) -> list[str]:
    """The command line of one FRR daemon with everything it writes in `directory`."""
    words = [str(FRR / daemon), "-f", str(configuration), "-i", str(directory / f"{daemon}.pid")]
    words += ["-z", str(directory / "zserv.api"), "--vty_socket", str(directory), "-P", "0", "--log", "stdout"]
    if daemon == "zebra":
        words.append("--v6-rr-semantics")  # a changed route is replaced at once, not removed and put in again
    if daemon == "bfdd":
        words += ["--bfdctl", str(directory / "bfdd.sock")]
    return words


def vtysh(directory: Path, question: str) -> str:
    """Ask the daemons of a node; what they answered, empty if none did."""
    return command("vtysh", "--vty_socket", str(directory), "-c", question, check=False)


def not_yet_ready(directory: Path) -> str | None:
    """What is missing before a configuration may be loaded: zebra must know bgpd, to which it then tells interfaces."""
    clients = vtysh(directory, "show zebra client summary")
    return None if any(line.startswith("bgp") for line in clients.splitlines()) else f"no bgpd at zebra in {directory}"


def load(directory: Path, configuration: Path) -> None:
    """Load a configuration into the running daemons. Raises: LabError naming the line FRR refused."""
    command("vtysh", "--vty_socket", str(directory), "-f", str(configuration))


def configure(directory: Path, *lines: str) -> None:
    """Change the running configuration, as an administrator at its console would. Raises: LabError."""
    words = [word for line in ("configure terminal", *lines) for word in ("-c", line)]
    command("vtysh", "--vty_socket", str(directory), *words)


def best(directory: Path, prefix: str) -> Best:
    """What the ISP's RIB holds for `prefix`."""
    try:
        document = json.loads(vtysh(directory, f"show bgp ipv6 unicast {prefix} json"))
    except ValueError:
        return Best(None)
    paths = document.get("paths", [])
    offers = {str(path.get("peer", {}).get("peerId")): _communities(path) for path in paths}
    for path in paths:
        if path.get("bestpath", {}).get("overall"):
            return Best(path.get("peer", {}).get("peerId"), _communities(path), offers)
    return Best(None, (), offers)


def _communities(path: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(path.get("community", {}).get("list", []))


def bfd_state(directory: Path, peer: str) -> str:
    """The state of the BFD session with `peer`, `none` if there is no session."""
    try:
        rows = json.loads(vtysh(directory, "show bfd peers json"))
    except ValueError:
        return "none"
    return next((str(row.get("status")) for row in rows if row.get("peer") == peer), "none")
