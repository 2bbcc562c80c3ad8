"""Honest sabotage: ways to break a lab from outside, so that one can see the demo notice it.

    no-lease      an impostor holds the lease of site 1 and goes on announcing when xsp-ha is dead
    no-withdraw   after start-up nothing of site 1 reaches its ISP, BFD is off, hold time an hour: its route stays

Owns the manipulations, all of them outside the programs: those have no switch for this.
"""

import re
import sys
from enum import StrEnum

from lab.impostor import HOLDS
from lab.lab import Lab
from lab.poll import wait_until
from lab.programs import ROOT
from lab.topology import AGGREGATE, locator

TARGET = "site1"
START_S = 20.0
HOLD_S = 3600
_DEAF = """
table ip6 lab_deaf {{
 chain in {{
  type filter hook input priority 0; policy accept;
  ip6 saddr {locator} tcp dport 179 drop
  ip6 saddr {locator} tcp sport 179 drop
 }}
}}
"""


class Fault(StrEnum):
    """What is broken on purpose."""

    NONE = "none"
    NO_LEASE = "no-lease"
    NO_WITHDRAW = "no-withdraw"


def before_home_agent(fault: Fault, lab: Lab, site: str) -> None:
    """Called when the site's BGP speaker runs and its xsp-ha does not yet."""
    if fault is not Fault.NO_LEASE or site != TARGET:
        return
    name = f"{site}-impostor"
    words = [sys.executable, "-m", "lab.impostor", str(lab.layout.lease_socket(site)), AGGREGATE]
    lab.processes.start(name, site, words, {"PYTHONPATH": str(ROOT)})
    wait_until(lambda: None if HOLDS in lab.processes.log(name).read_text() else "the impostor has no lease", START_S)


def before_start(fault: Fault, lab: Lab) -> None:
    """Called when all files are rendered and nothing runs yet."""
    if fault is Fault.NO_WITHDRAW:
        speaker = lab.layout.etc(TARGET) / "exabgp.conf"
        speaker.write_text(re.sub(r"hold-time \d+", f"hold-time {HOLD_S}", speaker.read_text()))


def neighbour_block(fault: Fault, site: str, text: str) -> str:
    """The ISP's block towards a site, as the fault wants it."""
    if fault is not Fault.NO_WITHDRAW or site != TARGET:
        return text
    without_bfd = re.sub(rf"^ *neighbor {locator(site)} bfd.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"(neighbor \S+ timers) \d+ \d+", rf"\1 {HOLD_S // 3} {HOLD_S}", without_bfd)


def after_start(fault: Fault, lab: Lab) -> None:
    """Called when every site is announced."""
    if fault is Fault.NO_WITHDRAW:
        isp = lab.network.topology.isp_of(TARGET)
        lab.network.run(isp.name, "nft", "-f", "-", stdin=_DEAF.format(locator=locator(TARGET)))
