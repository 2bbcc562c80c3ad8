"""A site and its ISP with the files that `xsp render` makes for both, the ISP with FRR or with BIRD."""

import json
import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from tests.bgp.site_and_isp import AGGREGATE, ISP, KEY, LOCATOR, Site, run, wait_for
from xsp.model import Kind, Neighbour, Office
from xsp.model import Site as SiteValue
from xsp.render import Places, Secrets, neighbour_file, site_files

LOCAL_AS, ISP_AS = 64500, 64501
LONGER = "2001:db8:f100::/40"
AGGREGATE_4, LONGER_4 = "198.51.100.0/24", "198.51.100.128/25"
ISP_4, OURS_4 = "192.0.2.1", "192.0.2.10"
OFFICE = Office(LOCAL_AS, IPv6Address("2001:db8:f000::1"))
FIRST = Neighbour(IPv6Address(ISP), ISP_AS, communities=("64500:9", "64500:1:2"), prepend=2, med=7, bfd=False)
PATH = " ".join([str(LOCAL_AS)] * 4)  # the one that every path has, one of the holder's, two of the neighbour's
OVER_4 = replace(FIRST, address=IPv4Address(ISP_4), local_address=IPv4Address(OURS_4), next_hop=IPv6Address(LOCATOR))
PASSWORD = "0123456789abcdef"  # ExaBGP would read this as base64 if it were not told

FRR_BASE = "hostname isp\nrouter bgp {asn}\n bgp router-id 192.0.2.101\n no bgp default ipv4-unicast\nexit\n"
BIRD_BASE = "router id 192.0.2.101;\nlog stderr all;\nprotocol device {}\n"


class RenderedSite(Site):
    """`neighbour` as both sides are told, `here` as the site is told if that differs; MD5 passwords likewise.

    `opened`: the neighbour's administrator has let every prefix through the filter.
    """

    everything = ("permit ", "permit ::/0 le 128 ")  # what the aggregate stands behind, and what then stands there
    opened = False

    def __init__(
        self,
        directory: Path,
        neighbour: Neighbour = FIRST,
        here: Neighbour | None = None,
        passwords: tuple[str, str] = ("", ""),
    ) -> None:
        super().__init__(directory)
        self.aggregates: tuple[str, ...] = (AGGREGATE,)
        self.longer: tuple[str, ...] = (LONGER,)
        self.neighbour, self.here = neighbour, here or neighbour
        self.passwords = passwords

    def rendered(self, neighbour: Neighbour, password: str, *aggregates: str) -> dict[str, str]:
        """Name -> text of the files of a site with this neighbour."""
        value = SiteValue("site-1", "default", IPv6Address(LOCATOR), "isp", IPv6Address(ISP), "192.0.2.1", (neighbour,))
        passwords = {neighbour.address: password} if password else {}
        places = Places(self.directory, self.directory / "state", self.directory, self.directory)
        secrets = Secrets(b"", KEY.encode(), passwords, None)
        networks = [IPv6Network(one) for one in aggregates if ":" in one]
        networks_4 = [IPv4Network(one) for one in aggregates if ":" not in one]
        files = site_files(value, [], OFFICE, networks, secrets, places, networks_4)
        return {name: file.text for name, file in files.items()}

    def isp_file(self, program: str) -> str:
        """What the ISP is given."""
        files = self.rendered(self.neighbour, self.passwords[0], *self.aggregates)
        text = files[neighbour_file(self.neighbour.address, program)]
        before, instead = self.everything
        return text.replace(f"{before}{AGGREGATE}", instead) if self.opened else text

    def over_the_limit(self) -> bool:
        """Whether the neighbour says that it was sent too many prefixes."""
        said = json.loads(run("vtysh", "--vty_socket", str(self.directory / "frr"), "-c", "show bgp summary json"))
        return bool(said["ipv6Unicast"]["peers"][LOCATOR]["state"] == "Idle (PfxCt)")

    def frr_configuration(self) -> str:
        return FRR_BASE.format(asn=self.neighbour.autonomous_system) + self.isp_file("frr")

    def write_configuration(self) -> None:
        super().write_configuration()
        all_ = (*self.aggregates, *self.longer)  # the longer ones must not get through
        files = self.rendered(self.here, self.passwords[1], *all_)
        for name in ("bgp.toml", "exabgp.conf", "bfdd.conf"):
            if name in files:
                text = files[name].replace(f"{self.directory}/site-1", f"{self.directory}/run")
                (self.directory / name).write_text(text)
        (self.directory / "exabgp.conf").chmod(0o600)

    def run_site(self) -> None:
        """Announce the aggregate, and try a longer prefix."""
        self.supervisor = self.start_supervisor()
        wait_for("the session is up", self.is_connected, 20, 0.1)
        wanted = {*self.aggregates, *self.longer}
        self.holder = self.start_holder(1000, *self.aggregates, *self.longer)
        wait_for("all are sent", lambda: set(self.status()["confirmed"]) == wanted, 10, 0.1)
        wait_for("all are shown as sent", lambda: self.prefixes_sent() == wanted, 10, 0.1)

    def prefixes_sent(self) -> set[str]:
        """What the status says the ISP was sent."""
        return {route.split(" ", 1)[0] for route in self.status()["neighbours"][0]["sent"]}

    def tcp_counter(self, namespace: str, name: str) -> int:
        """A counter of TCP at the ISP or the site, as /proc/net/netstat has it."""
        text = run("ip", "netns", "exec", namespace, "cat", "/proc/net/netstat")
        names, values = (line.split() for line in text.splitlines() if line.startswith("TcpExt:"))
        return int(dict(zip(names[1:], values[1:], strict=True))[name])


class SessionOfIpv4(RenderedSite):
    """A session of IPv4 that carries the aggregates of both families."""

    def __init__(self, directory: Path, neighbour: Neighbour = OVER_4) -> None:
        super().__init__(directory, neighbour)
        self.aggregates, self.longer = (AGGREGATE, AGGREGATE_4), (LONGER, LONGER_4)

    def start_isp(self) -> None:
        for namespace, link, address in ((self.isp, "site", ISP_4), (self.site, "isp", OURS_4)):
            run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", link)
        super().start_isp()


class BirdSite(RenderedSite):
    """The same with BIRD 2."""

    everything = ("net ~ [ ", "net ~ [ ::/0+")

    def over_the_limit(self) -> bool:
        return "Route limit exceeded" in self.bird_says("show protocols")

    def start_isp(self) -> None:
        file = self.directory / "bird.conf"
        file.write_text(BIRD_BASE + self.isp_file("bird"))
        log = (self.directory / "bird.log").open("wb")
        words = ("bird", "-f", "-c", str(file), "-s", str(self.directory / "bird.ctl"))
        self.start(self.isp, *words, stderr=log)
        log.close()
        wait_for("BIRD's socket", (self.directory / "bird.ctl").exists)

    def bird_says(self, question: str) -> str:
        return run("birdc", "-s", str(self.directory / "bird.ctl"), *question.split(), check=False)

    def route(self, prefix: str) -> dict[str, str]:
        """The attributes of a prefix in BIRD's table, empty if it is not there."""
        said = self.bird_says(f"show route {prefix} all")
        return dict(re.findall(r"^\s+BGP\.(\w+): (.*)$", said, re.MULTILINE))


class BirdSiteOfIpv4(SessionOfIpv4, BirdSite):
    """The same with BIRD 2."""


def internal(neighbour: Neighbour) -> Neighbour:
    """The same as a router of our own AS, towards which nothing can be prepended."""
    return replace(neighbour, autonomous_system=LOCAL_AS, kind=Kind.OWN_ROUTER, prepend=0)
