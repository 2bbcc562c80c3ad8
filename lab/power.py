"""A site as a machine: its power goes, and comes back. Files of its state directory stay, the kernel's state does not.

Owns what a crash takes away in one namespace: the link at once, every process, routes, nexthops, rules, filters, the
addresses of our programs, everything in the run-time directories. The namespace itself stays, because the prober
watches in it. The time the machine needs to boot its kernel is not simulated.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable

from lab import family
from lab.lab import Lab

PROGRAMS = ("xsp-ha", "xsp-bgp", "exabgp", "bfdd", "zebra")


def off(lab: Lab, sites: tuple[str, ...]) -> None:
    """Cut the power of these sites."""
    for site in sites:
        lab.network.configure(site, ["link set isp down"])
    names = [f"{site}-{name}" for site in sites for name in PROGRAMS]
    started = [pid for name in names if (pid := lab.processes.pid(name)) is not None]
    pids = [below for pid in started for below in family.descendants(pid)]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    family.wait_until_gone(lab.processes, pids)
    for site in sites:
        _forget(lab, site)


def _forget(lab: Lab, site: str) -> None:
    lab.network.run(site, "nft", "flush", "ruleset")
    lab.network.run(site, "ip", "nexthop", "flush")
    for words in (
        "route flush table all proto 208",
        "address flush dev lo scope global",
    ):
        lab.network.run(site, "ip", "-6", *words.split(), check=False)  # what is to go may not be there
    for place in (lab.layout.run_root / site, lab.layout.frr(site)):
        shutil.rmtree(place, ignore_errors=True)


def on(lab: Lab, sites: tuple[str, ...], start: Callable[[str], None] | None = None) -> None:
    """Give power back: link, default route, then the site's programs as its system would start them."""
    gateways = {node.name: node.gateway for node in lab.network.topology.nodes}
    for site in sites:
        lab.network.configure(site, ["link set isp up", f"route replace default via {gateways[site]}"])
    for site in sites:
        (start or lab.start_site)(site)
