"""`xsp-lab status`: what runs, what the ISPs' routing tables say, read from another process.

Owns the document. Everything in it comes from the kernel (which processes live) and from the neighbours (FRR's RIBs).
"""

import time
from typing import Any

from lab import isp as provider
from lab.layout import Layout
from lab.runfolder import RunFolder
from lab.topology import AGGREGATE, TOPOLOGIES, locator
from runtime import status


def document(folder: RunFolder) -> dict[str, Any]:
    """The status document of one lab."""
    dead = [name for name, (_, process) in folder.processes.items() if not process.lives()]
    ribs = _ribs(folder)
    state = "stale" if folder.is_stale else "in use" if folder.owner is not None else "up"
    reasons = [f"{name} has ended" for name in dead]
    reasons += [f"{name} has no route for {AGGREGATE}" for name, best in ribs.items() if best is None]
    if folder.is_stale:
        reasons.append("its owner died; remove it with xsp-lab down --stale")
    return status.document(
        program="xsp-lab",
        instance=folder.id,
        state=state,
        since_s=max(0.0, time.time() - folder.path.stat().st_ctime),
        reasons=reasons,
        counters={},
        healthy=not reasons,
        sections={
            "folder": str(folder.path),
            "topology": folder.read("topology"),
            "nodes": folder.read("nodes", []),
            "processes": {
                name: {"node": node, "pid": process.pid, "running": name not in dead}
                for name, (node, process) in folder.processes.items()
            },
            "isps": ribs,
        },
    )


def _ribs(folder: RunFolder) -> dict[str, str | None]:
    """ISP -> the neighbour it chose for the aggregate: a site's name, or the address of another ISP."""
    layout = Layout(folder.path)
    topology = TOPOLOGIES[folder.read("topology", "reference")]()
    names = {locator(f"site{isp.number}"): f"site{isp.number}" for isp in topology.isps}
    found: dict[str, str | None] = {}
    for isp in topology.isps:
        neighbour = provider.best(layout.frr(isp.name), AGGREGATE).neighbour
        found[isp.name] = names.get(neighbour, neighbour) if neighbour else None
    return found
