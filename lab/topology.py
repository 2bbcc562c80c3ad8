"""The reference topology as data: nodes, links, addresses. Pure.

                 isp1 (AS 64501) ------ isp2 (AS 64502)
                /  |   |     \\         /     |   |
               /   |   |      \\       /      |   |
            cn1  site1 |       isp3 (64503)  | site2
                       |        |       |    |
                     line1    site3    cn3  line2
                       |                     |
                       +------- mr ----------+
                                | lan
                               lan1

    ISP N        2001:db8:N::/48            every pair of ISPs has a link 2001:db8:ff:NM::/64, ISP N being ::N there
    site N       2001:db8:N:a::10 (locator) link `siteN` at the ISP (::1), `isp` at the site
    line N       2001:db8:N:c::20 at the MR link `lineN` at both ends, ISP ::1
    cn N         2001:db8:N:e::99           link `cnN` at the ISP (::1), `eth0` at the host
    xSP          2001:db8:f000::/36 AS 64500, anycast home agent address 2001:db8:f000::1

Owns names and numbers of the lab. Refuses to know the customer's prefix: the office allocates it, see `lan_ends`.
"""

from dataclasses import dataclass
from ipaddress import IPv6Interface, IPv6Network
from itertools import combinations

AGGREGATE = "2001:db8:f000::/36"
HOME_AGENT_ADDRESS = "2001:db8:f000::1"
XSP_AS = 64500
ISPS = (1, 2, 3)
SITES = tuple(f"site{n}" for n in ISPS)
LINES = ("line1", "line2")
CUSTOMER = "office1"
ROUTER = "mr"
LAN_HOST = "lan1"


@dataclass(frozen=True, slots=True)
class Node:
    """One namespace. `gateway`: where its default route points, if it has a static one."""

    name: str
    forwards: bool
    gateway: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link; `address` with its prefix length, or None while it is not known."""

    node: str
    interface: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """A cable between two nodes."""

    left: End
    right: End


@dataclass(frozen=True, slots=True)
class Access:
    """What an ISP sells on one interface, and therefore the only sources it accepts there (BCP 38)."""

    interface: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Isp:
    """One Internet service provider."""

    number: int
    access: tuple[Access, ...]

    @property
    def name(self) -> str:
        """Its node."""
        return f"isp{self.number}"

    @property
    def autonomous_system(self) -> int:
        """Its AS number."""
        return 64500 + self.number

    @property
    def prefix(self) -> str:
        """What it announces."""
        return f"2001:db8:{self.number}::/48"

    def mesh_address(self, other: int) -> str:
        """Its address on the link to ISP `other`."""
        low, high = sorted((self.number, other))
        return f"2001:db8:ff:{low}{high}::{self.number}"


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole lab."""

    name: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    isps: tuple[Isp, ...]

    def isp_of(self, interface: str) -> Isp:
        """The ISP that sells `interface` (a line or a site link)."""
        return next(isp for isp in self.isps if any(access.interface == interface for access in isp.access))


def locator(site: str) -> str:
    """The address of a site at its hosting ISP."""
    return f"2001:db8:{site.removeprefix('site')}:a::10"


def host_address(node: str) -> str:
    """The address of a correspondent."""
    return f"2001:db8:{node.removeprefix('cn')}:e::99"


def reference() -> Topology:
    """Three ISPs with a site each, a customer with two lines, two correspondents."""
    nodes = [Node(f"isp{n}", forwards=True) for n in ISPS]
    nodes += [Node(site, forwards=True, gateway=f"2001:db8:{n}:a::1") for n, site in zip(ISPS, SITES, strict=True)]
    # The mobile router and its host get their routes later: from its own daemon, and from the allocated prefix.
    nodes += [Node(ROUTER, forwards=True), Node(LAN_HOST, forwards=False)]
    nodes += [Node(f"cn{n}", forwards=False, gateway=f"2001:db8:{n}:e::1") for n in (1, 3)]
    links = [
        Link(
            End(f"isp{a}", f"isp{b}", f"2001:db8:ff:{a}{b}::{a}/64"),
            End(f"isp{b}", f"isp{a}", f"2001:db8:ff:{a}{b}::{b}/64"),
        )
        for a, b in combinations(ISPS, 2)
    ]
    links += [_access(n, "a", f"site{n}", f"site{n}", "isp", 0x10) for n in ISPS]
    links += [_access(n, "c", f"line{n}", ROUTER, f"line{n}", 0x20) for n in (1, 2)]
    links += [_access(n, "e", f"cn{n}", f"cn{n}", "eth0", 0x99) for n in (1, 3)]
    links.append(Link(End(ROUTER, "lan", None), End(LAN_HOST, "eth0", None)))
    return Topology("reference", tuple(nodes), tuple(links), tuple(_isp(n) for n in ISPS))


def lan_ends(prefix: str) -> tuple[IPv6Interface, IPv6Interface]:
    """The addresses of router and host on the first /64 of a mobile network prefix."""
    lan = next(IPv6Network(prefix).subnets(new_prefix=64))
    return IPv6Interface((lan[1], 64)), IPv6Interface((lan[0x10], 64))


def _access(number: int, letter: str, isp_interface: str, node: str, interface: str, host: int) -> Link:
    net = f"2001:db8:{number}:{letter}::"
    return Link(End(f"isp{number}", isp_interface, f"{net}1/64"), End(node, interface, f"{net}{host:x}/64"))


def _isp(number: int) -> Isp:
    access = [Access(f"site{number}", (f"2001:db8:{number}:a::/64", AGGREGATE))]
    if number in (1, 2):
        access.append(Access(f"line{number}", (f"2001:db8:{number}:c::/64",)))
    if number in (1, 3):
        access.append(Access(f"cn{number}", (f"2001:db8:{number}:e::/64",)))
    return Isp(number, tuple(access))


TOPOLOGIES = {"reference": reference}
