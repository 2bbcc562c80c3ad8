"""One lab from build to teardown: namespaces, ISPs, sites, the customer's router, and the handles to bend them.

Owns the order of building and of taking down. Refuses to know what an event means for traffic: scenarios and probes do.
Everything is removed when the `with` block ends, however it ends.
"""

import contextlib
import signal
import threading
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from lab import isp as provider
from lab.isp import Best
from lab.layout import Layout
from lab.netns import Network
from lab.poll import wait_until
from lab.processes import Processes
from lab.programs import Programs
from lab.runfolder import PLACE, RunFolder, this_process
from lab.topology import AGGREGATE, CUSTOMER, LAN_HOST, LINES, ROUTER, SITES, TOPOLOGIES, Isp, lan_ends, locator

PATIENCE_S = 20.0  # FRR and ExaBGP are up within 2 s on an idle machine


class Lab:
    """A running lab. Use it as a context; `keep()` leaves it up when the block ends."""

    def __init__(self, topology: str = "reference", place: Path = PLACE, mrai_s: int = 0) -> None:
        # For what was started to be there; a route travels over three ISPs, each of which may hold it back so long.
        self.patience_s = PATIENCE_S + 3 * mrai_s
        self.mrai_s = mrai_s  # the ISPs' advertisement interval, which the office is told, too
        self.folder = RunFolder.create(place)
        self.layout = Layout(self.folder.path)
        self.network = Network(self.folder.id, TOPOLOGIES[topology]())
        self.processes = Processes(self.folder, self.network)
        self._kept = False
        try:
            self.folder.own(this_process())
            self.folder.write(topology=topology, nodes=self.network.nodes, namespaces=self._namespaces())
            self.layout.make()
            self.programs = Programs(self.folder.path)
        except BaseException:
            self.folder.remove()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._kept or error is not None:
            self.close()

    def close(self) -> None:
        """Kill, remove the namespaces, remove the folder. A second Ctrl-C does not interrupt it."""
        with _undisturbed():
            try:
                self.processes.close()
                self.network.remove()
            finally:
                self.folder.remove()

    def keep(self) -> None:
        """Leave it up: from now on it belongs to `xsp-lab down`."""
        self.folder.own(None)
        self._kept = True

    def _namespaces(self) -> list[str]:
        return [self.network.name(node) for node in self.network.nodes]

    # -- building

    def build(self) -> None:
        """Namespaces, links, addresses, and the ISPs' ingress filters."""
        self.network.build()
        for isp in self.network.topology.isps:
            self.network.run(isp.name, "nft", "-f", "-", stdin=provider.ingress_filter(isp))

    def start_isps(self, neighbour_block: Callable[[str], str]) -> None:
        """FRR in every ISP: its own configuration, and the block towards its site as the office rendered it.

        The configuration is loaded once bgpd knows the interfaces: a session that is up before drops its first routes.
        """
        # zebra first everywhere: a client that finds no zebra tries again only ten seconds later.
        for daemons in (("zebra",), ("bgpd", "bfdd")):
            for isp in self.network.topology.isps:
                directory = provider.frr_directory(self.layout.folder / "frr", isp.name)
                for daemon in daemons:
                    words = provider.frr_words(daemon, directory, Path("/dev/null"))
                    self.processes.start(f"{isp.name}-{daemon}", isp.name, words)
            for isp in self.network.topology.isps:
                self._wait_for_vty(isp.name, daemons)
        for isp in self.network.topology.isps:
            directory = self.layout.frr(isp.name)
            wait_until(partial(provider.not_yet_ready, directory), self.patience_s)
            configuration = directory / "frr.conf"
            block = neighbour_block(isp.site) if isp.site else ""
            configuration.write_text(provider.frr_configuration(isp, self.mrai_s) + block)
            provider.load(directory, configuration)

    def start_site(self, site: str, before_home_agent: Callable[[], None] = lambda: None) -> None:
        """The BGP speaker, which starts BFD, and the home agent of a site, with the files rendered for it."""
        self.start_program(site, "xsp-bgp")
        before_home_agent()
        self.start_program(site, "xsp-ha")

    def start_program(self, site: str, program: str) -> None:
        """Start `xsp-ha` or `xsp-bgp` of a site."""
        file = self.layout.etc(site) / {"xsp-ha": "ha.toml", "xsp-bgp": "bgp.toml"}[program]
        self.processes.start(f"{site}-{program}", site, [self.programs.path(program), "--config", str(file), "run"])

    def start_router(self) -> None:
        """The customer's LAN and its mobile router."""
        file = self.layout.etc(CUSTOMER) / "mr.toml"
        router, host = lan_ends(tomllib.loads(file.read_text())["prefixes"][0])
        self.network.configure(ROUTER, [f"address add {router} dev lan nodad"])
        self.network.configure(LAN_HOST, [f"address add {host} dev eth0 nodad", f"route add default via {router.ip}"])
        self.folder.write(lan_host=str(host.ip))
        # Each line's own default route, as an ISP's router advertisement would install it.
        net = self.network.topology.line_net
        lines = [f"route add default via {net(line)}::1 dev {line} metric {1024 + n}" for n, line in enumerate(LINES)]
        self.network.configure(ROUTER, lines)
        self.processes.start("mr-xsp-mr", ROUTER, [self.programs.path("xsp-mr"), "--config", str(file), "run"])

    @property
    def lan_host_address(self) -> str:
        """The address of the host in the customer's LAN. Known once the router was started."""
        return str(self.folder.read("lan_host"))

    # -- looking, through the neighbours' eyes only

    def best(self, isp: Isp) -> Best:
        """What an ISP would do with a packet for the aggregate."""
        return provider.best(self.layout.frr(isp.name), AGGREGATE)

    def directly_reachable(self, site: str) -> bool:
        """Whether the site's ISP hands packets for the aggregate to the site itself."""
        return self.best(self._isp(site)).neighbour == locator(site)

    def seen_from(self, site: str) -> Best:
        """What the site's ISP would do with a packet for the aggregate."""
        return self.best(self._isp(site))

    def wait_for_mesh(self) -> None:
        """Until every ISP has a route to every other one."""

        def missing() -> str | None:
            for isp in self.network.topology.isps:
                for other in self.network.topology.isps:
                    found = provider.best(self.layout.frr(isp.name), other.prefix)
                    direct = other.mesh_address(isp.number) if other.number in isp.peers else found.neighbour
                    if other != isp and (found.neighbour is None or found.neighbour != direct):
                        return f"{isp.name} has no route to {other.name}"
            return None

        wait_until(missing, self.patience_s)

    def wait_for_sites(self, sites: tuple[str, ...] = SITES, bfd: bool = True) -> None:
        """Until every site is announced, chosen by its own ISP, and (unless it is off on purpose) BFD is up."""

        def missing() -> str | None:
            names = [f"{site}-{program}" for site in sites for program in ("xsp-bgp", "xsp-ha")]
            self.processes.check(*names)
            for site in sites:
                isp = self._isp(site)
                if not self.directly_reachable(site):
                    return f"{isp.name} has no route for {AGGREGATE} from {site}"
                if bfd and provider.bfd_state(self.layout.frr(isp.name), locator(site)) != "up":
                    return f"BFD between {isp.name} and {site} is not up"
            return None

        wait_until(missing, self.patience_s)

    def _isp(self, site: str) -> Isp:
        return self.network.topology.isp_of(site)

    def _wait_for_vty(self, node: str, daemons: tuple[str, ...]) -> None:
        def missing() -> str | None:
            self.processes.check(*(f"{node}-{daemon}" for daemon in daemons))
            gone = [daemon for daemon in daemons if not (self.layout.frr(node) / f"{daemon}.vty").exists()]
            return f"{gone[0]} of {node} does not answer" if gone else None

        wait_until(missing, self.patience_s)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that would end us wait until the block is done (only the main thread can see to that)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
