"""The verbs of a scenario, done to a running lab.

    cut, restore          the ISP's end of a line or of a site's link goes down, comes up: the other end loses carrier
    freeze, thaw          a site silently drops everything, links stay up
    kill, start           SIGKILL of processes of a site, and a new start
    stop, cont            SIGSTOP and SIGCONT of them
    drain, undrain        the operator's commands `xsp-ha drain` and `undrain`
    depreference          the operator's `depreference`, straight to the control socket: no program's start is measured
    break, mend           somebody's filter drops what the site forwards, while every socket lives; is gone again
    power-off, power-on   the whole machine crashes; boots, and starts what it started before
    separate, join        home agents do not hear each other (port 6275 is dropped), the Internet is intact
    bfd-off, bfd-on       the ISP does not offer BFD to a site; offers it again
    delay                 netem on a line, where the kernel has it
    publish               a new customer table to every site
    wait                  nothing

Owns how each is done. Returns the moment at which it began to be true: the clock of everything measured after it.
"""

import signal
import subprocess
import time
from collections.abc import Callable

from lab import family, power
from lab import isp as provider
from lab.errors import LabError
from lab.lab import Lab
from lab.office import Office
from lab.scenario import Step
from lab.topology import SITES, locator
from runtime import control
from runtime.exits import Exit

FREEZE_TABLE = "lab_freeze"
_FREEZE = f"""
table inet {FREEZE_TABLE} {{
 chain in {{ type filter hook prerouting priority -400; policy drop; iif "lo" accept; }}
 chain out {{ type filter hook postrouting priority 400; policy drop; oif "lo" accept; }}
}}
"""
SEPARATE_TABLE = "lab_separate"
_PORT_6275 = "meta l4proto { tcp, udp } th dport 6275 drop; meta l4proto { tcp, udp } th sport 6275 drop;"
_SEPARATE = f"""
table inet {SEPARATE_TABLE} {{
 chain in {{ type filter hook input priority -400; {_PORT_6275} }}
 chain out {{ type filter hook output priority -400; {_PORT_6275} }}
}}
"""
BREAK_TABLE = "lab_break"
_BREAK = f"""
table inet {BREAK_TABLE} {{
 chain forward {{ type filter hook forward priority 500; policy drop; }}
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
            "freeze": lambda step: self._filter(step, _FREEZE),
            "thaw": lambda step: self._unfilter(step, FREEZE_TABLE),
            "kill": lambda step: self._signal(step, signal.SIGKILL),
            "start": self._start,
            "stop": lambda step: self._signal(step, signal.SIGSTOP),
            "cont": lambda step: self._signal(step, signal.SIGCONT),
            "drain": self._operator,
            "undrain": self._operator,
            "depreference": self._ask,
            "break": lambda step: self._filter(step, _BREAK),
            "mend": lambda step: self._unfilter(step, BREAK_TABLE),
            "power-off": lambda step: power.off(lab, step.on),
            "power-on": lambda step: power.on(lab, step.on),
            "separate": lambda step: self._filter(step, _SEPARATE),
            "join": lambda step: self._unfilter(step, SEPARATE_TABLE),
            "bfd-off": lambda step: self._bfd(step, "no neighbor {} bfd"),
            "bfd-on": lambda step: self._bfd(step, "neighbor {} bfd profile XSP"),
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
        for interface in step.on:
            isp = self._lab.network.topology.isp_of(interface)
            self._lab.network.configure(isp.name, [f"link set {interface} {state}"])

    def _filter(self, step: Step, rules: str) -> None:
        for site in step.on:
            self._lab.network.run(site, "nft", "-f", "-", stdin=rules)

    def _unfilter(self, step: Step, table: str) -> None:
        for site in step.on:
            self._lab.network.run(site, "nft", "delete", "table", "inet", table)

    def _signal(self, step: Step, number: signal.Signals) -> None:
        processes = self._lab.processes
        pids = family.send(processes, [(site, process, number) for site in step.on for process in step.process])
        if number is signal.SIGKILL:
            family.wait_until_gone(processes, pids)

    def _start(self, step: Step) -> None:
        for site in step.on:
            for process in step.process:
                self._lab.start_program(site, family.program(process))

    def _operator(self, step: Step) -> None:
        for site in step.on:
            file = self._lab.layout.etc(site) / "ha.toml"
            words = [self._lab.programs.path("xsp-ha"), "--config", str(file), step.do]
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=COMMAND_S)
            if done.returncode:
                raise LabError(f"{' '.join(words)} failed: {done.stderr.strip()}", "read the log of xsp-ha")

    def _ask(self, step: Step) -> None:
        for site in step.on:
            path = self._lab.layout.run_root / site / "control-ha.sock"
            try:
                answer = control.ask(path, step.do)
            except control.Unreachable as error:
                raise LabError(f"xsp-ha of {site} cannot be asked: {error.reason}", "start it first") from error
            if not answer.get("ok"):
                raise LabError(f"xsp-ha of {site} refuses {step.do}: {answer.get('error')}", str(answer.get("remedy")))

    def _bfd(self, step: Step, command: str) -> None:
        for site in step.on:
            isp = self._lab.network.topology.isp_of(site)
            router = f"router bgp {isp.autonomous_system}"
            provider.configure(self._lab.layout.frr(isp.name), router, command.format(locator(site)))

    def _delay(self, step: Step) -> None:
        for line in step.on:
            isp = self._lab.network.topology.isp_of(line)
            words = ["tc", "qdisc", "replace", "dev", line, "root", "netem", "delay", f"{step.delay_ms:g}ms"]
            try:
                self._lab.network.run(isp.name, *words)
            except LabError as error:
                what = f"this kernel cannot delay packets ({error.what})"
                raise LabError(what, "use a kernel with sch_netem, or leave out the step", Exit.MISSING) from error
