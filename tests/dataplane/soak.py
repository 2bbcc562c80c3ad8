"""`python -m tests.dataplane.soak [CHANGES]`: random changes in a kernel, which must end in what was asked for last.

Customers come, go, change lines, weights, priorities and networks, in batches; now and then the driver is another one,
as after a restart, or somebody else takes routes, nexthops, a rule or our table, and it is repaired. Compared all
along is the kernel's dump with a dict. At the end the kernel's objects are counted by `ip` and `nft`, which know
nothing of us: a nexthop, route or element too many is a leak. Last, `purge` leaves none. Needs root.
"""

import argparse
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Address

from dataplane import plan
from dataplane.entry import ForwardingEntry, Path, Prefix
from dataplane.linux import LinuxHomeAgent
from tests.bench.loaded import SITE, require
from tests.ha.cast import address
from tests.netns import Net, namespaces

HOMES, LINES, BATCH, TOLD_EVERY = 2000, 4, 200, 100_000
CHECK_EVERY, ROB_EVERY, RESTART_EVERY = 20_000, 50_000, 80_000  # changes
PATIENCE_S = 24 * 3600.0
ROBBERIES = (
    "ip -6 route del {home} metric 1023",
    "ip nexthop flush proto 208",
    "nft delete table ip6 xsp_ha",
    "ip -6 rule del pref 0",
    "ip -6 route flush table local proto 208",
)
PLAN = replace(SITE, aggregates=(*SITE.aggregates, Prefix(bytes((198, 18, 0, 0)), 15)))


def main() -> int:
    """Exit status 1 if the kernel differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.dataplane.soak", description="Random changes in a kernel.")
    parser.add_argument("changes", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    print(f"{chosen.changes:,} random changes, seed {chosen.seed}", flush=True)
    with namespaces() as net:
        net.add("ha", "isp")
        net.link("ha", "isp", "isp", "site")
        net.run("ha", "ip", "addr", "add", "2001:db8:a::10/64", "dev", "isp", "nodad")
        wrong = net.inside("ha", lambda: Soak(net, chosen.seed).run(chosen.changes), PATIENCE_S)
    print(wrong or "kernel and model are the same to the last object; nothing is left after a purge")
    return 1 if wrong else 0


class Soak:
    """One run; lives in the namespace."""

    def __init__(self, net: Net, seed: int) -> None:
        self._net, self._chance = net, random.Random(seed)
        self._model: dict[bytes, ForwardingEntry] = {}
        self._now = 0.0
        self._plane = self._another()

    def run(self, changes: int) -> str:
        """What is wrong at the end, or the first time; empty if nothing."""
        began = time.monotonic()
        for done in range(0, changes, BATCH):
            self._change()
            if done % RESTART_EVERY == RESTART_EVERY - BATCH:
                self._plane = self._another()
                require(self._plane.reconcile(self._model))
            if done % ROB_EVERY == ROB_EVERY - BATCH and (wrong := self._rob()):
                return wrong
            if done % CHECK_EVERY == CHECK_EVERY - BATCH and (wrong := self._differs()):
                return f"after {done + BATCH:,} changes {wrong}"
            if done % TOLD_EVERY == TOLD_EVERY - BATCH:
                rate = done / (time.monotonic() - began)
                print(f"  {done + BATCH:,}: {len(self._model)} customers, {rate:,.0f} changes/s", flush=True)
        return self._judge()

    def _another(self) -> LinuxHomeAgent:
        plane = LinuxHomeAgent()
        plane.prepare(PLAN)
        return plane

    def _change(self) -> None:
        homes = self._chance.sample(range(HOMES), BATCH)
        wanted = {_home(number): self._some_entry(number) for number in homes}
        require(self._plane.apply(wanted))
        self._model |= {home: entry for home, entry in wanted.items() if entry}
        for home in [home for home, entry in wanted.items() if not entry]:
            self._model.pop(home, None)
        self._now += 0.05
        self._plane.expire(self._now)

    def _some_entry(self, number: int) -> ForwardingEntry | None:
        bids = sorted(self._chance.sample([1, 2, 3, 200, 65535], self._chance.randrange(LINES + 1)))
        if not bids:
            return None
        paths = tuple(
            Path(bid, self._care_of(number), self._chance.choice((1, 1, 2, 9)), self._chance.randrange(2))
            for bid in bids
        )
        networks = [
            Prefix(_plus("2001:db8:f100::", number << 72), 56),
            Prefix(_plus("2001:db8:f800::", number << 68), 60),
            Prefix((0xC6120000 + (number << 4)).to_bytes(4, "big"), 28),
        ]
        return ForwardingEntry(_home(number), tuple(one for one in networks if self._chance.random() < 0.6), paths)

    def _care_of(self, number: int) -> bytes:
        """Of few, so that several customers and lines share one now and then."""
        return _plus("2001:db8:1:c::", (number // 3 << 4) + self._chance.randrange(1, 9))

    def _differs(self) -> str:
        """The first customer of whom the kernel holds something else."""
        found = self._plane.read()
        for home in sorted(found.keys() | self._model.keys()):
            if found.get(home) != self._model.get(home):
                return f"{IPv6Address(home)} has {found.get(home)} instead of {self._model.get(home)}"
        return ""

    def _rob(self) -> str:
        home = IPv6Address(self._chance.choice(sorted(self._model)))
        robbery = self._chance.choice(ROBBERIES).format(home=home)
        self._net.run("ha", *robbery.split(), check=False)
        if not (disturbed := self._plane.disturbances()):
            return f"'{robbery}' was not noticed"
        self._plane.prepare(PLAN)
        require(self._plane.reconcile(self._model, disturbed))
        return "" if self._plane.read() == self._model else f"'{robbery}' was not repaired"

    # --- at the end -------------------------------------------------------------------------------------------------

    def _judge(self) -> str:
        for _ in range(HOMES):
            self._now += 10.0
            if self._plane.expire(self._now) is None:
                break
        if wrong := self._differs():
            return wrong
        found, wanted = self._objects(), _expected(self._model)
        if found != wanted:
            return f"the kernel holds {found}, wanted are {wanted}"
        self._plane.purge()
        left = self._objects()
        return f"after a purge there is left: {left}" if any(left.values()) else ""

    def _objects(self) -> dict[str, int]:
        """By programs that know nothing of us."""
        nexthops = self._net.run("ha", "ip", "nexthop", "show", "proto", "208").splitlines()
        routes = [
            line
            for family in ("-6", "-4")
            for line in self._net.run("ha", "ip", family, "route", "show", "table", "all", "proto", "208").splitlines()
            if " nhid " in f" {line} "
        ]
        tables = self._net.run("ha", "nft", "list", "tables")
        elements = 0
        if "xsp_ha" in tables:
            sets = self._net.json("ha", "nft", "-j", "list", "table", "ip6", "xsp_ha")["nftables"]
            elements = sum(
                len(one["set"].get("elem", [])) for one in sets if one.get("set", {}).get("name", "").startswith("ok")
            )
        slots = [line for line in nexthops if int(line.split()[1]) % plan.SLOT_IDS or " group " in line]
        customers = [line for line in slots if int(line.split()[1]) >= plan.nexthop_id(1, 0)]
        return {"nexthops": len(customers), "routes": len(routes), "elements": elements}


def _expected(model: Mapping[bytes, ForwardingEntry]) -> dict[str, int]:
    elements = set().union(*map(plan.elements, model.values()))
    return {
        "nexthops": sum(len(one.paths) + 1 for one in model.values()),
        "routes": sum(len(one.prefixes) + 1 for one in model.values()),
        "elements": len(elements),
    }


def _home(number: int) -> bytes:
    return _plus("2001:db8:f000::1:0", number)


def _plus(base: str, number: int) -> bytes:
    return (int.from_bytes(address(base), "big") + number).to_bytes(16, "big")


if __name__ == "__main__":
    sys.exit(main())
