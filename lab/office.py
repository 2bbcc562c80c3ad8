"""The office's part of a lab: the operator's CLI in subprocesses, exactly as an operator would type it.

Owns the list of commands that register sites and a customer, render their files and publish the customer table.
Refuses to write any of these files itself.
"""

import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from lab.errors import LabError
from lab.layout import Layout
from lab.programs import Programs
from lab.topology import AGGREGATE, CUSTOMER, ISPS, LINES, SITES, XSP_AS, Topology, locator

COMMAND_S = 60.0
AT_ONCE = 2  # renderings change nothing, so they need not wait for one another


class Office:
    """One registry, in the lab's run folder."""

    def __init__(self, layout: Layout, programs: Programs, on_command: Callable[[str], None] = lambda _: None) -> None:
        self._layout = layout
        self._programs = programs
        self._on_command = on_command

    def register(self, topology: Topology, mrai_s: int = 0) -> None:
        """The xSP, its aggregate, its sites behind ISPs of that advertisement interval, a customer with two lines."""
        self.xsp("init", "--as", str(XSP_AS))
        self.xsp("aggregate", "add", AGGREGATE)
        for number, site in zip(ISPS, SITES, strict=True):
            where = ["--locator", locator(site), "--gateway", f"2001:db8:{number}:a::1"]
            self.xsp("site", "add", site, *where, "--neighbour-as", str(XSP_AS + number), "--mrai", str(mrai_s))
        for hub in topology.hubs:
            self.xsp("site", "add", hub, "--locator", locator(hub), "--role", "reflector")
        lines = [word for line in LINES for word in ("--uplink", f"{line}:allowed={topology.line_net(line)}::/64")]
        self.xsp("customer", "add", CUSTOMER, *lines)

    def render(self, sites: Iterable[str] = SITES) -> None:
        """Every file that these sites, their ISPs and the customer need."""
        places = ["--state-root", str(self._layout.state_root), "--run-root", str(self._layout.run_root)]
        programs = ["--program-directory", str(self._programs.directory)]
        orders = [
            ("render", "--site", site, "--output", str(self._layout.etc(site)), *places, *programs) for site in sites
        ]
        orders.append(("render", "--customer", CUSTOMER, "--output", str(self._layout.etc(CUSTOMER)), *places))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done in [pool.submit(self.xsp, *order) for order in orders]:
                done.result()

    def publish(self, sites: Iterable[str]) -> None:
        """Hand the signed customer table to these sites."""
        words = [word for site in sites for word in ("--output", str(self._layout.customer_table(site)))]
        self.xsp("table", "publish", *words)

    def neighbour_block(self, site: str) -> str:
        """What the site's ISP is given to configure."""
        [file] = self._layout.etc(site).glob("neighbour-*-frr.conf")
        return file.read_text()

    def xsp(self, *words: str) -> str:
        """One command of the operator; what it printed. Raises: LabError with what it said."""
        self._on_command("xsp " + " ".join(words))
        command = [self._programs.path("xsp"), "--database", f"sqlite:///{self._layout.registry}", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_S)
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())[-400:]
            what = f"xsp {' '.join(words)} failed with status {done.returncode}: {said}"
            raise LabError(what, "correct that first")
        return done.stdout
