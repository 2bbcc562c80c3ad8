"""The verbs of a scenario, done to a running lab.

    cut, restore      the ISP's end of a line goes down, comes up: the router loses carrier
    freeze, thaw      a site silently drops everything, links stay up
    kill, start       SIGKILL of a program of a site, and a new start
    stop, cont        SIGSTOP and SIGCONT of it
    drain, undrain    the operator's command `xsp-ha drain`
    delay             netem on a line, where the kernel has it
    publish           a new customer table to every site
    wait              nothing

Owns how each is done. Returns the moment at which it began to be true: the clock of everything measured after it.
"""

import signal
import subprocess
import time
from collections.abc import Callable

from lab.errors import LabError
from lab.lab import Lab
from lab.office import Office
from lab.scenario import Step
from lab.topology import SITES
from runtime.exits import Exit

FREEZE_TABLE = "lab_freeze"
_FREEZE = f"""
table inet {FREEZE_TABLE} {{
 chain in {{ type filter hook prerouting priority -400; policy drop; iif "lo" accept; }}
 chain out {{ type filter hook postrouting priority 400; policy drop; oif "lo" accept; }}
}}
"""
COMMAND_S = 20.0


class Hands:
    """Carries out steps on one lab."""

    def __init__(self, lab: Lab, office: Office) -> None:
        self._lab = lab
        self._office = office
        self._verbs: dict[str, Callable[[Step], None]] = {
            "cut": lambda step: self._line(step, "down"),
            "restore": lambda step: self._line(step, "up"),
            "freeze": self._freeze,
            "thaw": self._thaw,
            "kill": lambda step: lab.processes.kill(f"{step.on}-{step.process}"),
            "start": lambda step: lab.start_program(step.on, step.process),
            "stop": lambda step: lab.processes.send(f"{step.on}-{step.process}", signal.SIGSTOP),
            "cont": lambda step: lab.processes.send(f"{step.on}-{step.process}", signal.SIGCONT),
            "drain": self._operator,
            "undrain": self._operator,
            "delay": self._delay,
            "publish": lambda step: self._office.publish(SITES),
            "wait": lambda step: None,
        }

    def do(self, step: Step) -> float:
        """Do it; the moment just before. Raises: LabError."""
        at = time.monotonic()
        self._verbs[step.do](step)
        return at

    def _line(self, step: Step, state: str) -> None:
        isp = self._lab.network.topology.isp_of(step.on)
        self._lab.network.configure(isp.name, [f"link set {step.on} {state}"])

    def _freeze(self, step: Step) -> None:
        self._lab.network.run(step.on, "nft", "-f", "-", stdin=_FREEZE)

    def _thaw(self, step: Step) -> None:
        self._lab.network.run(step.on, "nft", "delete", "table", "inet", FREEZE_TABLE)

    def _operator(self, step: Step) -> None:
        file = self._lab.layout.etc(step.on) / "ha.toml"
        words = [self._lab.programs.path("xsp-ha"), "--config", str(file), step.do]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=COMMAND_S)
        if done.returncode:
            raise LabError(f"{' '.join(words)} failed: {done.stderr.strip()}", "read the log of xsp-ha")

    def _delay(self, step: Step) -> None:
        isp = self._lab.network.topology.isp_of(step.on)
        words = ["tc", "qdisc", "replace", "dev", step.on, "root", "netem", "delay", f"{step.delay_ms:g}ms"]
        try:
            self._lab.network.run(isp.name, *words)
        except LabError as error:
            what = f"this kernel cannot delay packets ({error.what})"
            raise LabError(what, "use a kernel with sch_netem, or leave out the step", Exit.MISSING) from error
