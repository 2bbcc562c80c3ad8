"""A long way between the sites, for kernels without netem: what they say to each other comes late, and some never.

In the ISP of each site (or reflector), packets from or to port 6275 that come in from it are routed into a TUN device;
this program holds each for `DELAY_MS`, drops the share `LOSS` and writes the rest back, from where they go on.
So TCP meets real loss and real delay, one way each, and everything else on the same links is as quick as before.

Run as `python -m lab.distance SITE,... DELAY_MS LOSS SEED` in the ISP's node; `put` does so for all. Prints one line
when it is in place.
"""

import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections import deque

from lab.lab import Lab
from lab.poll import wait_until
from lab.programs import ROOT
from lab.topology import SITES

DEVICE = "far"
IN_PLACE = "the way is long"
START_S = 20.0
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
_PACKET_MAX = 65535
_MARK, _TABLE = 6275, 6275
_RULES = """
table ip6 lab_distance {{
 chain from_site {{
  type filter hook prerouting priority mangle; policy accept;
  iifname {{ {sites} }} tcp dport 6275 meta mark set {mark}
  iifname {{ {sites} }} tcp sport 6275 meta mark set {mark}
 }}
}}
"""


def put(lab: Lab, delay_ms: float, loss: float, seed: int) -> None:
    """Make the way between all sites of a lab that long; so it stays until the lab ends. Raises: LabError."""
    topology = lab.network.topology
    behind: dict[str, list[str]] = {}
    for site in (*SITES, *topology.hubs):
        behind.setdefault(topology.isp_of(site).name, []).append(site)
    for number, (isp, sites) in enumerate(behind.items()):
        name = f"{isp}-distance"
        words = [sys.executable, "-m", "lab.distance", ",".join(sites), str(delay_ms), str(loss), str(seed + number)]
        lab.processes.start(name, isp, words, {"PYTHONPATH": str(ROOT)})

        def missing(name: str = name) -> str | None:
            lab.processes.check(name)
            return None if IN_PLACE in lab.processes.log(name).read_text() else f"{name} is not in place"

        wait_until(missing, START_S)


def _device() -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
    return fd


def _route(sites: str) -> None:
    names = ", ".join(f'"{site}"' for site in sites.split(","))
    rules = _RULES.format(sites=names, mark=_MARK)
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    for words in (
        f"link set dev {DEVICE} mtu 1500 up",
        f"-6 rule add fwmark {_MARK} lookup {_TABLE}",
        f"-6 route add default dev {DEVICE} table {_TABLE}",
    ):
        subprocess.run(["ip", *words.split()], check=True)


def hold(fd: int, delay_s: float, loss: float, draw: random.Random) -> None:
    """Let packets through, late, for ever; those that are lost are drawn."""
    waiting: deque[tuple[float, bytes]] = deque()
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select((fd,), (), (), timeout)[0]:
            packet = os.read(fd, _PACKET_MAX)
            if draw.random() >= loss:
                waiting.append((time.monotonic() + delay_s, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            os.write(fd, waiting.popleft()[1])


def main(sites: str, delay_ms: str, loss: str, seed: str) -> None:
    """See above."""
    fd = _device()
    _route(sites)
    print(IN_PLACE, flush=True)
    hold(fd, float(delay_ms) / 1000, float(loss), random.Random(int(seed)))


if __name__ == "__main__":
    main(*sys.argv[1:])
