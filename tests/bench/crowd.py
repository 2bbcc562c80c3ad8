"""A crowd in the lab: 100,000 customers in every site's table, all of them bound, beside the one that is watched.

Nobody registers them: the sites find them in the snapshot that each believes to have written itself. Owns these two
files and the two settings that belong to them. That all are in is read from the kernel.
"""

import base64
import hashlib
import json
import math
import os
import time
from collections.abc import Iterable
from pathlib import Path

from ha import customer_table, snapshot
from ha.frames import WireCell, WireRecord
from ha.record import OLDEST, Register, Version
from lab import build, family
from lab.errors import LabError
from lab.lab import Lab
from lab.poll import wait_until
from lab.topology import SITES
from mip6 import ntp
from tests.bench.population import CUSTOMERS, OFFICE, OFFICE_PUBLIC, care_of, home, rows

LOOK_S = 1.0
AT_REST, REST_S = 0.3, 60.0  # the share of a core that is no loading any more; how long to wait for it
LIFETIME_S = 86_400  # longer than any measurement: nobody refreshes them


def load(lab: Lab) -> None:
    """Give every site the table and the snapshot, before anything runs."""
    build.without_hold_down(lab)
    records = _records(_beside(CUSTOMERS))
    for site in SITES:
        state = lab.layout.state_root / site
        _join(lab.layout.customer_table(site), lab.layout.etc(site) / "ha.toml", state, records)


def join(table: Path, config: Path, state: Path, customers: int) -> None:
    """Give one home agent the crowd: into its table, its configuration and its snapshot, before it runs."""
    _join(table, config, state, _records(_beside(customers)))


def _join(table: Path, config: Path, state: Path, records: list[WireRecord]) -> None:
    table.write_bytes(_joined(table.read_bytes(), len(records)))
    _trust(config)
    state.mkdir(mode=0o700, exist_ok=True)
    snapshot.save(state, time.time(), [snapshot.piece(records)])


def _beside(customers: int) -> range:
    """So many, but for the first: its network is that of the customer who is watched."""
    return range(1, customers + 1)


def _records(customers: Iterable[int]) -> list[WireRecord]:
    return [_record(customer) for customer in customers]


def _joined(published: bytes, customers: int) -> bytes:
    """What the office published and the crowd, in one table, signed with the key of the tests."""
    head_line, _, mine = published.partition(b"\n")
    rest = mine + b"".join(rows(_beside(customers)))
    head = json.loads(head_line) | {"count": customers + mine.count(b"\n"), "sha256": hashlib.sha256(rest).hexdigest()}
    head.pop("signature")
    signature = base64.b64encode(OFFICE.sign(customer_table.signed_octets(head))).decode()
    return json.dumps(head | {"signature": signature}).encode() + b"\n" + rest


def _trust(config: Path) -> None:
    key = base64.b64encode(OFFICE_PUBLIC).decode()
    lines = [
        f'table_public_key = "{key}"\nlifetime_max_s = {LIFETIME_S}' if line.startswith("table_public_key") else line
        for line in config.read_text().splitlines()
    ]
    config.write_text("\n".join(lines) + "\n")


def _record(customer: int) -> WireRecord:
    """Two verified lines, registered a moment ago."""
    said = ntp.to_timestamp(time.time() - 60)
    version = Version(said, SITES[0])
    cells = {bid: WireCell(version, care_of(customer, bid), LIFETIME_S, 0) for bid in (1, 2)}
    return WireRecord(home(customer), cells, OLDEST, Register(version, 1), (version, True, None), said, LIFETIME_S)


def wait_until_at_rest(lab: Lab) -> str:
    """Until the sites have them loaded, and are not loading them: they announce before all is told to all.

    Returns: what did not come to rest; it is measured as it is then.
    """
    before = dict.fromkeys(SITES, math.inf)

    def busy() -> str | None:
        nonlocal before
        used = {site: _processor_s(family.find(lab.processes, site, "xsp-ha")) for site in SITES}
        worst = max(SITES, key=lambda site: used[site] - before[site])
        share, before = (used[worst] - before[worst]) / LOOK_S, used
        return f"xsp-ha of {worst} is busy" if not 0.0 <= share < AT_REST else None

    try:
        wait_until(busy, REST_S, LOOK_S)
    except LabError as error:
        return error.what
    return ""


def _processor_s(pid: int) -> float:
    """What a process has used since its start."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def check_all_bound(lab: Lab, sites: tuple[str, ...]) -> None:
    """Raises: LabError if a site's kernel does not hold a route for everybody."""
    for site in sites:
        routes = lab.network.run(site, "ip", "-6", "route", "show", "proto", "208").count("\n")
        if routes < CUSTOMERS:
            raise LabError(f"{site} is in service with {routes} routes for {CUSTOMERS} customers", "read its log")
