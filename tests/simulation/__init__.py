"""Many sites and mobile routers in one process on a fake clock, with faults: `python -m tests.simulation --help`.

Theory of operation. The cores are the real ones, unchanged, by their public interfaces: `HomeAgent` with its
replication, `MobileRouter`, `bgp.speaker` with `fellows` and `hold_down`. Played are what surrounds them: the daemons
(`machine`, `router`), TCP between sites (`wires`), the Internet with its anycast routes (`internet`), kernels, disks,
clocks and operators. A seed makes a `scenario`: who there is, and a list of deeds (faults, and lines that come and go),
all decided before the first event. So a run with some of the deeds left out is a run of the same world, and a failing
seed can be shrunk (`shrink`). What must hold at every instant and in the end stands in `invariants`.
"""
