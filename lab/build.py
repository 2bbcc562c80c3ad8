"""From nothing to a customer with two registered lines: the one order in which labs are built.

Owns the sequence and what is said on the way. Used by `up`, `run`, `demo` and the lab tests alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lab import faults, prerequisites
from lab.calibrate import calibrated
from lab.events import Hands
from lab.faults import Fault
from lab.lab import Lab
from lab.office import Office
from lab.probe import Prober, Stream
from lab.scenario import ProbeStream
from lab.topology import LINES, SITES, host_address

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ready:
    """A lab in which everything runs."""

    lab: Lab
    office: Office

    @property
    def hands(self) -> Hands:
        """What carries out events."""
        return Hands(self.lab, self.office)


def raise_up(
    lab: Lab, say: Say, on_command: Say, fault: Fault = Fault.NONE, prepare: Callable[[Lab], None] = lambda lab: None
) -> Ready:
    """Build, provision, start; returns when every site is announced and the router was started.

    `prepare` is called when all files are rendered and nothing runs yet. Raises: LabError.
    """
    office = Office(lab.layout, lab.programs, on_command)
    topology = lab.network.topology
    say(f"building {len(topology.nodes)} namespaces and {len(topology.links)} links (lab {lab.folder.id})")
    lab.build()
    prerequisites.check_kernel(lab.network)
    say("the operator registers the aggregate, the sites and a customer with two lines")
    office.register(topology, lab.mrai_s)
    office.render((*SITES, *topology.hubs))
    office.publish(SITES)
    faults.before_start(fault, lab)
    prepare(lab)
    say("starting the ISPs (FRR), and at three of them a site: ExaBGP, BFD, home agent")
    lab.start_isps(lambda site: faults.neighbour_block(fault, site, office.neighbour_block(site)))
    for hub in topology.hubs:
        lab.start_program(hub, "xsp-ha")
    for site in SITES:
        lab.start_site(site, lambda site=site: faults.before_home_agent(fault, lab, site))  # type: ignore[misc]
    lab.wait_for_mesh()
    lab.wait_for_sites(bfd=fault is not Fault.NO_WITHDRAW)
    faults.after_start(fault, lab)
    say("every site announces the aggregate; the customer's mobile router starts")
    lab.start_router()
    return Ready(lab, office)


def without_hold_down(lab: Lab) -> None:
    """For `prepare`: a site that failed is preferred again as soon as it is back, however often it failed.

    Who fails the same site again and again, to measure it, would otherwise wait longer each time.
    """
    for site in SITES:
        file = lab.layout.etc(site) / "bgp.toml"
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("hold_down_max_s = 0\n" + "".join(line for line in lines if "hold_down_max_s" not in line))


def prober(lab: Lab, probes: tuple[ProbeStream, ...]) -> Prober:
    """A prober for these streams, its flows spread over both lines. Raises: LabError if nothing gets through."""
    streams = [
        Stream(
            probe.source,
            _address(lab, probe.source),
            probe.destination,
            _address(lab, probe.destination),
            probe.rate_hz,
            (),
        )
        for probe in probes
    ]
    return Prober(lab.network, calibrated(lab.network, streams, lab.patience_s), SITES, LINES)


def _address(lab: Lab, host: str) -> str:
    return lab.lan_host_address if host == "lan1" else host_address(host)
