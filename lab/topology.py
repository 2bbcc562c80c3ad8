"""The topologies as data: nodes, links, addresses. Pure.

The reference: every ISP has a correspondent or a line at most one other ISP away.

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

`failover`: the correspondent sits behind a transit ISP, so two ISPs stand between it and every site. Those of the sites
have no links among themselves: the ISP of a failing site holds no other way (the best way of its only neighbour leads
through it) and must be given one. `failover-mesh` adds these links: then it holds another way already.

        cn4     line1
          \\      /
           isp4 (AS 64504, transit; of ways alike it takes the one through the lowest router id)
          /   |   \\
      isp1   isp2   isp3          failover-mesh: these three are linked, too
       |      |  \\     \\
     site1 site2 line2  site3

`star`: the reference, and at isp3 a reflector, hub1: the sites tell each other nothing but by way of it.

    ISP N        2001:db8:N::/48            a link between ISPs is 2001:db8:ff:NM::/64, ISP N being ::N there
    site N       2001:db8:N:a::10 (locator) link `siteN` at the ISP (::1), `isp` at the site
    hub          2001:db8:N:b::10 (locator) link `hub1` at the ISP (::1), `isp` at the hub
    line         2001:db8:N:c::20 at the MR link `lineM` at both ends, ISP N being ::1
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
ISPS = (1, 2, 3)  # those that host a site
TRANSIT = 4
SITES = tuple(f"site{n}" for n in ISPS)
LINES = ("line1", "line2")
HUB, HUB_ISP = "hub1", 3  # a reflector that is no home agent, where there is one
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
    peers: tuple[int, ...]  # the other ISPs it is linked to

    @property
    def site(self) -> str | None:
        """The site that it hosts."""
        return next((access.interface for access in self.access if access.interface in SITES), None)

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

    @property
    def hubs(self) -> tuple[str, ...]:
        """The reflectors."""
        return tuple(node.name for node in self.nodes if node.name == HUB)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where probes may start and end."""
        return (*(node.name for node in self.nodes if node.name.startswith("cn")), LAN_HOST)

    def line_net(self, line: str) -> str:
        """The first 64 bits of a line's addresses, as text before `::`."""
        return f"2001:db8:{self.isp_of(line).number}:c"

    def isp_of(self, interface: str) -> Isp:
        """The ISP that sells `interface` (a line or a site link)."""
        return next(isp for isp in self.isps if any(access.interface == interface for access in isp.access))


def locator(site: str) -> str:
    """The address of a site, or of the hub, at its hosting ISP."""
    if site == HUB:
        return f"2001:db8:{HUB_ISP}:b::10"
    return f"2001:db8:{site.removeprefix('site')}:a::10"


def host_address(node: str) -> str:
    """The address of a correspondent."""
    return f"2001:db8:{node.removeprefix('cn')}:e::99"


def reference() -> Topology:
    """Three ISPs with a site each, all linked; a customer with two lines, two correspondents."""
    return _topology("reference", tuple(combinations(ISPS, 2)), correspondents=(1, 3), lines=(1, 2))


def star() -> Topology:
    """The same, the sites being joined by a reflector."""
    return _topology("star", tuple(combinations(ISPS, 2)), correspondents=(1, 3), lines=(1, 2), hub=True)


def failover() -> Topology:
    """A transit ISP between the correspondent and the three ISPs, which know each other only through it."""
    return _topology("failover", tuple((isp, TRANSIT) for isp in ISPS), correspondents=(TRANSIT,), lines=(TRANSIT, 2))


def failover_mesh() -> Topology:
    """The same, the three being linked among themselves as well."""
    links = (*combinations(ISPS, 2), *((isp, TRANSIT) for isp in ISPS))
    return _topology("failover-mesh", links, correspondents=(TRANSIT,), lines=(TRANSIT, 2))


def _topology(
    name: str,
    peerings: tuple[tuple[int, int], ...],
    correspondents: tuple[int, ...],
    lines: tuple[int, int],
    hub: bool = False,
) -> Topology:
    """`lines`: the ISPs that sell the customer's lines."""
    isps = sorted({*ISPS, *(isp for pair in peerings for isp in pair)})
    nodes = [Node(f"isp{n}", forwards=True) for n in isps]
    nodes += [Node(site, forwards=True, gateway=f"2001:db8:{n}:a::1") for n, site in zip(ISPS, SITES, strict=True)]
    nodes += [Node(HUB, forwards=False, gateway=f"2001:db8:{HUB_ISP}:b::1")] if hub else []
    # The mobile router and its host get their routes later: from its own daemon, and from the allocated prefix.
    nodes += [Node(ROUTER, forwards=True), Node(LAN_HOST, forwards=False)]
    nodes += [Node(f"cn{n}", forwards=False, gateway=f"2001:db8:{n}:e::1") for n in correspondents]
    links = [
        Link(
            End(f"isp{a}", f"isp{b}", f"2001:db8:ff:{a}{b}::{a}/64"),
            End(f"isp{b}", f"isp{a}", f"2001:db8:ff:{a}{b}::{b}/64"),
        )
        for a, b in peerings
    ]
    links += [_access(n, "a", f"site{n}", f"site{n}", "isp", 0x10) for n in ISPS]
    links += [_access(HUB_ISP, "b", HUB, HUB, "isp", 0x10)] if hub else []
    links += [_access(n, "c", line, ROUTER, line, 0x20) for n, line in zip(lines, LINES, strict=True)]
    links += [_access(n, "e", f"cn{n}", f"cn{n}", "eth0", 0x99) for n in correspondents]
    links.append(Link(End(ROUTER, "lan", None), End(LAN_HOST, "eth0", None)))
    providers = []
    for n in isps:
        access = [Access(f"site{n}", (f"2001:db8:{n}:a::/64", AGGREGATE))] if n in ISPS else []
        sold = [line for line, isp in zip(LINES, lines, strict=True) if isp == n]
        access += [Access(line, (f"2001:db8:{n}:c::/64",)) for line in sold]
        access += [Access(HUB, (f"2001:db8:{n}:b::/64",))] if hub and n == HUB_ISP else []
        access += [Access(f"cn{n}", (f"2001:db8:{n}:e::/64",))] if n in correspondents else []
        peers = {isp for pair in peerings if n in pair for isp in pair} - {n}
        providers.append(Isp(n, tuple(access), tuple(sorted(peers))))
    return Topology(name, tuple(nodes), tuple(links), tuple(providers))


def lan_ends(prefix: str) -> tuple[IPv6Interface, IPv6Interface]:
    """The addresses of router and host on the first /64 of a mobile network prefix."""
    lan = next(IPv6Network(prefix).subnets(new_prefix=64))
    return IPv6Interface((lan[1], 64)), IPv6Interface((lan[0x10], 64))


def _access(number: int, letter: str, isp_interface: str, node: str, interface: str, host: int) -> Link:
    net = f"2001:db8:{number}:{letter}::"
    return Link(End(f"isp{number}", isp_interface, f"{net}1/64"), End(node, interface, f"{net}{host:x}/64"))


TOPOLOGIES = {"reference": reference, "star": star, "failover": failover, "failover-mesh": failover_mesh}
