"""How many more customers fit into this machine's memory. Reads /proc/meminfo.

The kernel's objects of a customer cannot be swapped out, and a kernel without memory kills processes. So newcomers are
refused while there is still room for what those who are in may ask for.
"""

from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CUSTOMER_OCTETS = 12 * 1024  # in the kernel some 8 kB, half of it a page for the group; in this process some 4 kB


def available_octets(meminfo: Path = MEMINFO) -> int:
    """What can be had without swapping, by the kernel's own estimate; 0 if it does not tell."""
    for line in meminfo.read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return 0


def room(reserve_octets: int, meminfo: Path = MEMINFO) -> int:
    """How many customers more can be taken while `reserve_octets` stay untouched."""
    return max(0, available_octets(meminfo) - reserve_octets) // CUSTOMER_OCTETS
