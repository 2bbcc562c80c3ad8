"""A site whose only neighbour is a route reflector two hops away, and a third router that hears of it from there.

    site (AS 64500)                    edge (isp's namespace)                reflector
    2001:db8:1:a::10 ---- 2001:db8:1:a::1, 2001:db8:9::1 ---- 2001:db8:9::9
    ExaBGP                        FRR, a session with the reflector alone    FRR or BIRD, as `xsp render` says

The edge forwards between the two; it has no session with the site. The reflector knows the way to the site's link by a
static route, where an operator has an IGP.
"""

import shutil
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

from tests.bgp.rendered import BIRD_BASE, FIRST, FRR_BASE, LOCAL_AS, RenderedSite
from tests.bgp.site_and_isp import ISP, run, wait_for
from xsp.model import Kind

LINK, EDGE, REFLECTOR = "2001:db8:1:a::/64", "2001:db8:9::1", "2001:db8:9::9"
NEIGHBOUR = replace(
    FIRST, address=IPv6Address(REFLECTOR), autonomous_system=LOCAL_AS, kind=Kind.ROUTE_REFLECTOR, prepend=0, bfd=False
)
_EDGE_FRR = f"""\
hostname edge
router bgp {LOCAL_AS}
 bgp router-id 192.0.2.102
 no bgp default ipv4-unicast
 neighbor {REFLECTOR} remote-as {LOCAL_AS}
 neighbor {REFLECTOR} timers connect 1
 address-family ipv6 unicast
  neighbor {REFLECTOR} activate
 exit-address-family
exit
"""
_TO_EDGE_FRR = f"""\
router bgp {LOCAL_AS}
 neighbor {EDGE} remote-as {LOCAL_AS}
 address-family ipv6 unicast
  neighbor {EDGE} activate
 exit-address-family
exit
"""
_TO_EDGE_BIRD = f"""
protocol static {{
    ipv6;
    route {LINK} via {EDGE};
}}
protocol bgp edge {{
    local {REFLECTOR} as {LOCAL_AS};
    neighbor {EDGE} as {LOCAL_AS};
    passive on;
    error wait time 1, 4;
    ipv6 {{
        import none;
        export where source = RTS_BGP;
    }};
}}
"""


class ReflectedSite(RenderedSite):
    """The reflector is FRR, or BIRD."""

    def __init__(self, directory: Path, bird: bool) -> None:
        super().__init__(directory, NEIGHBOUR)
        self.bird = bird
        self.reflector = self.isp.replace("-isp", "-rr")

    def frr_configuration(self) -> str:
        """The edge's: it is given nothing by the office."""
        return _EDGE_FRR

    def start_isp(self) -> None:
        """The edge, and behind it the reflector."""
        run("ip", "netns", "add", self.reflector)
        run("ip", "-n", self.reflector, "link", "set", "lo", "up")
        veth = ("type", "veth", "peer", "name", "edge", "netns", self.reflector)
        run("ip", "link", "add", "rr", "netns", self.isp, *veth)
        for namespace, link, address in ((self.isp, "rr", EDGE), (self.reflector, "edge", REFLECTOR)):
            run("ip", "-n", namespace, "address", "add", f"{address}/64", "dev", link, "nodad")
            run("ip", "-n", namespace, "link", "set", link, "up")
        run("ip", "netns", "exec", self.isp, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        run("ip", "-n", self.site, "route", "add", "2001:db8:9::/64", "via", ISP)
        run("ip", "-n", self.reflector, "route", "add", LINK, "via", EDGE)
        super().start_isp()
        (self._start_bird if self.bird else self._start_frr)()

    def _start_frr(self) -> None:
        place = self.directory / "reflector"
        place.mkdir()
        (place / "frr.conf").write_text(FRR_BASE.format(asn=LOCAL_AS) + self.isp_file("frr") + _TO_EDGE_FRR)
        for path in (place, place / "frr.conf"):
            shutil.chown(path, "frr", "frr")
        for daemon in ("zebra", "bgpd"):
            words = ["-f", str(place / "frr.conf"), "-i", str(place / f"{daemon}.pid"), "-z", str(place / "zserv.api")]
            words += ["--vty_socket", str(place), "-P", "0", "--log", f"file:{place}/{daemon}.log"]
            self.start(self.reflector, f"/usr/lib/frr/{daemon}", *words)
            wait_for(f"{daemon}'s vty", (place / f"{daemon}.vty").exists)

    def _start_bird(self) -> None:
        file, socket = self.directory / "bird.conf", self.directory / "bird.ctl"
        file.write_text(BIRD_BASE + self.isp_file("bird") + _TO_EDGE_BIRD)
        with (self.directory / "bird.log").open("wb") as log:
            self.start(self.reflector, "bird", "-f", "-c", str(file), "-s", str(socket), stderr=log)
        wait_for("BIRD's socket", socket.exists)

    def close(self) -> None:
        super().close()
        run("ip", "netns", "delete", self.reflector, check=False)
