"""The baseline: ExaBGP's own `healthcheck` application in its tight setting, where xsp-bgp would be.

What somebody would use who does not have our bridge: it runs a check every 50 ms, and after one failure it withdraws.
The check asks xsp-ha's control socket what it wants of BGP and waits for the answer: it notices death, hanging, what
the self-test found and what the operator asked for, and at 5 ms a time is far cheaper than `xsp-ha status`. A site is
drained as its manual says: by the file that it was told to look for. FRR's bfdd goes on beside it. Owns its
configuration and its start.
"""

import re
import signal
import sys
import time
from pathlib import Path

from bgp.launch import SETTINGS
from lab import family, power
from lab.events import Hands
from lab.lab import Lab
from lab.scenario import Step
from lab.topology import AGGREGATE, SITES

CHECK = r"""use Socket;
socket(my $s, PF_UNIX, SOCK_STREAM, 0) or exit 1;
connect($s, sockaddr_un($ARGV[0])) or exit 1;
syswrite($s, "{\"do\": \"leaving\"}\n") or exit 1;
defined(my $answer = readline($s)) or exit 1;
exit($answer =~ /"wanted": "announce"/ ? 0 : 1);
"""
TIGHT = """\
command = perl {check} {socket}
interval = 0.05
fast-interval = 0.05
rise = 1
fall = 1
timeout = 1
withdraw-on-down
disable = {disabled}
no-ip-setup
no-syslog
ip = {aggregate}
"""


def replace_speakers(lab: Lab) -> None:
    """At every site: no xsp-bgp, instead ExaBGP with its own application."""
    for site in SITES:
        pid = family.find(lab.processes, site, "supervisor")
        family.send(lab.processes, [(site, "supervisor", signal.SIGKILL)])
        family.wait_until_gone(lab.processes, [pid])
        _write(lab, site)
        start(lab, site)


def _write(lab: Lab, site: str) -> None:
    etc = lab.layout.etc(site)
    (etc / "check.pl").write_text(CHECK)
    (etc / "healthcheck.conf").write_text(_tight(lab, site))
    run = f"run {sys.executable} -m exabgp healthcheck --config {etc / 'healthcheck.conf'};"
    rendered = (etc / "exabgp.conf").read_text()
    (etc / "exabgp-healthcheck.conf").write_text(re.sub(r"^\s*run .*;", f"    {run}", rendered, flags=re.MULTILINE))


def _tight(lab: Lab, site: str) -> str:
    socket = lab.layout.run_root / site / "control-ha.sock"
    check = lab.layout.etc(site) / "check.pl"
    return TIGHT.format(check=check, socket=socket, aggregate=AGGREGATE, disabled=_disabled(lab, site))


def _disabled(lab: Lab, site: str) -> Path:
    """As long as this file is there, the site is drained."""
    return lab.layout.etc(site) / "disabled"


def start(lab: Lab, site: str) -> None:
    """Start it; as root, because xsp-ha answers nobody else."""
    words = [sys.executable, "-m", "exabgp", "server", str(lab.layout.etc(site) / "exabgp-healthcheck.conf")]
    environment = {**SETTINGS, "exabgp_daemon_user": "root", "exabgp_api_ack": "true"}
    lab.processes.start(f"{site}-exabgp", site, words, environment)


class BaselineHands(Hands):
    """As with xsp-bgp, but ExaBGP is started by us, and drained by its own file."""

    def do(self, step: Step) -> float:
        """Do it; the moment just before. Raises: LabError."""
        at = time.monotonic()
        drained = [site for site in step.on if _disabled(self._lab, site).exists()]
        if step.do == "start" and "exabgp" in step.process:
            for site in step.on:
                start(self._lab, site)
        elif step.do == "power-on":
            power.on(self._lab, step.on, self._boot)
        elif step.do == "drain":
            for site in step.on:
                _disabled(self._lab, site).touch()
        elif step.do == "undrain" and drained:
            for site in drained:
                _disabled(self._lab, site).unlink()
        else:
            return super().do(step)
        return at

    def _boot(self, site: str) -> None:
        start(self._lab, site)
        self._lab.start_program(site, "xsp-ha")
