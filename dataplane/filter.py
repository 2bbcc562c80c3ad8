"""The nftables side: which tunnelled packets a home agent believes, and what a mobile router must not say.

Owns the elements of the tables whose texts are in `ruleset.py`. The source check (RFC 6275 10.4.5, RFC 3963 9): the
outer source must be a care-of address of the customer that owns the inner source, be it IPv6 or IPv4. One hash set per
prefix length in use, keyed by both, for packets with and without the encapsulation limit option (RFC 2473 4.1.1) that
stock tunnels send; all else that is tunnelled to the home agent is counted and dropped, but for what the self-test
sends to see it dropped, which is not counted. Signalling is limited for each /48 and in all, before anybody looks at
it. Who can send with a customer's care-of address as source can pass the check; it is no authentication.

The tables are loaded by `nft` when the daemon starts, and again when a kind of prefix first occurs; loading again
keeps sets, elements and counters and loses no packet. Elements change by netlink.
"""

import errno
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping

from dataplane import accounting, clamping, ruleset
from dataplane.driver import Driver
from dataplane.element import Element, Kind, combine, kind_coded
from dataplane.entry import Prefix, RouterPlan, SitePlan
from dataplane.errors import DataPlaneError
from dataplane.netlink import NEEDS_ROOT
from dataplane.nfnetlink import SetElements
from dataplane.port import CHECK_LINGER_S
from dataplane.recovery import dismantle
from dataplane.ruleset import HOME_AGENT_TABLE, OUTER_OCTETS, ROUTER_TABLE, kinds

_COUNTED_AS = {"signalling_of_one": "signalling_dropped", "signalling_of_all": "signalling_dropped"}
_CARRIED = ("tunnelled_in", "tunnelled_out")
_UNKNOWN = b""  # the owner of an element found in the kernel
EXPIRE_AT_ONCE = 2000  # elements: under 10 ms by measurement, so that no caller's loop waits


class SourceCheck:
    """The elements of the source check, each with the customer it was entered for. Raises: DataPlaneError.

    An element may be wanted by one customer and left by another (a network that moves between two behind one line):
    only its last owner takes it out. `on_script` is told the netlink port under which `nft` has changed our table.
    """

    def __init__(self, on_script: Callable[[int], None]) -> None:
        self._sets: SetElements | None = None
        self._owners: dict[Element, bytes] = {}
        self._leaving: dict[Element, float | None] = {}
        self._kinds: set[Kind] = set()
        self._reassembles = False
        self._site: tuple[SitePlan, Driver] | None = None
        self._on_script = on_script

    @property
    def port(self) -> int:
        """The netlink port by which elements change."""
        return self._required().port

    def prepare(self, plan: SitePlan, driver: Driver) -> None:
        """Load the table of this site; sets and their elements stay as they are."""
        if self._sets is None:
            self._sets = SetElements(HOME_AGENT_TABLE)
        self._site = (plan, driver)
        self._load(kinds(self._sets.names()))
        try:
            self._on_script(_nft(ruleset.reassembly(plan)))
            self._reassembles = True
        except DataPlaneError:
            self._reassembles = False  # a kernel without tproxy: fragments are dropped and counted instead
        self._on_script(_nft(clamping.of_home_agent(plan)))

    def _load(self, present: set[Kind]) -> None:
        if self._site is None:
            raise DataPlaneError("changing the source check", "the site was not prepared")
        self._on_script(_nft(ruleset.home_agent(*self._site, present)))
        self._kinds = present  # another set: others iterate over the old one meanwhile

    def disown(self) -> None:
        """From now on the elements are nobody's, until somebody enters or owns them."""
        self._owners = dict.fromkeys(self._owners, _UNKNOWN)

    def reload(self) -> None:
        """Take the elements from the kernel, disowned."""
        sets = self._required()
        self._kinds = self._kinds & kinds(sets.names())  # what bears such a name and was not loaded is not ours
        found: dict[Element, bytes] = {}
        for kind in self._kinds:
            code = kind.code
            for some in sets.keys(f"ok{kind}"):
                found.update([(code + key, _UNKNOWN) for key in some])
        before, self._owners = self._owners, found  # at once: others ask meanwhile whose an address is
        self._leaving = {element: at for element, at in self._leaving.items() if element in self._owners}
        dismantle(before)

    def enter(self, wanted: Mapping[bytes, Iterable[Element]]) -> dict[bytes, str]:
        """Enter what these customers need. Returns: whom it was refused, and why; the others have it."""
        try:
            self._enter(set().union(*wanted.values()))
            refused = {}
        except DataPlaneError:
            refused = self._enter_each(wanted)
        leaving, owners = self._leaving, self._owners
        for owner, elements in wanted.items():
            if owner in refused:
                continue
            for element in elements:
                owners[element] = owner
                if leaving:
                    leaving.pop(element, None)
        return refused

    def _enter_each(self, wanted: Mapping[bytes, Iterable[Element]]) -> dict[bytes, str]:
        refused = {}
        for owner, elements in wanted.items():
            try:
                self._enter(set(elements))
            except DataPlaneError as error:
                refused[owner] = error.reason
        return refused

    def _enter(self, elements: set[Element]) -> None:
        new = _keys(elements.difference(self._owners))
        if new.keys() - self._kinds:
            self._load(self._kinds | new.keys())
        self._required().change(_by_set(new), {})

    def leave(self, owner: bytes, elements: Iterable[Element]) -> None:
        """Take these out after a linger, unless another customer has taken them over."""
        for element in elements:
            if self._owners.get(element) in (owner, _UNKNOWN):
                self._leaving.setdefault(element, None)

    def own(self, kept: Mapping[bytes, Iterable[Element]]) -> list[bytes]:
        """What these customers still have is theirs; what is not there is not entered. Returns: who lacks something."""
        lacking = []
        for owner, elements in kept.items():
            if not all(element in self._owners for element in elements):
                lacking.append(owner)
            self._owners.update({element: owner for element in elements if element in self._owners})
        return lacking

    def leave_disowned(self) -> None:
        """Take out after a linger whatever is nobody's."""
        for element, owner in self._owners.items():
            if owner == _UNKNOWN:
                self._leaving.setdefault(element, None)

    def expire(self, now: float) -> float | None:
        """Take out what lingered long enough, a bounded number at once. Returns: when to call again."""
        due = [element for element, at in self._leaving.items() if at is not None and at <= now][:EXPIRE_AT_ONCE]
        if due:
            self._take_out(due)
            for element in due:
                del self._owners[element], self._leaving[element]
        for element, at in self._leaving.items():
            if at is None:
                self._leaving[element] = now + CHECK_LINGER_S
        return min((at for at in self._leaving.values() if at is not None), default=None)

    def _take_out(self, due: list[Element]) -> None:
        sets, keys = self._required(), _by_set(_keys(due))
        try:
            sets.change({}, keys)
        except DataPlaneError:
            # Somebody took one out already, which spoils the transaction: ask what is left.
            left = {name: set().union(*sets.keys(name)) for name in keys}
            sets.change({}, {name: [key for key in some if key in left[name]] for name, some in keys.items()})

    def allows(self, care_of: bytes, address: bytes) -> bool:
        """True if `address` is of the customer behind this care-of address, by the same elements as in the kernel."""
        around = [prefix for kind in self._kinds if (prefix := kind.around(address)) is not None]
        return any(element in self._owners for element in combine([care_of], around))

    def counters(self) -> dict[str, int]:
        """Packets by what became of them, octets inside tunnels, and elements in use.

        Asked by a socket of its own, so that it may be done beside any other call.
        """
        self._required()
        found = _counted(HOME_AGENT_TABLE)
        packets = {f"{_COUNTED_AS.get(name, 'tunnel_packets')}{{{name}}}": count for name, (count, _) in found.items()}
        octets = {
            f"tunnel_octets{{{name}}}": octets - count * OUTER_OCTETS
            for name, (count, octets) in found.items()
            if name in _CARRIED
        }
        return {
            **packets,
            **octets,
            "check_elements": len(self._owners),
            "check_elements_leaving": len(self._leaving),
            "fragments_reassembled": int(self._reassembles),
        }

    @property
    def changes_sent(self) -> int:
        """How many messages changed elements."""
        return self._required().changes_sent

    def forget(self, prefixes: Iterable[Prefix]) -> None:
        """Count anew for these."""
        accounting.forget(self._required(), prefixes)

    def purge(self) -> None:
        """Remove the table."""
        delete_table(HOME_AGENT_TABLE)
        self._owners, self._leaving, self._kinds = {}, {}, set()

    def _required(self) -> SetElements:
        if self._sets is None:
            raise DataPlaneError("changing the source check", "the site was not prepared")
        return self._sets


def load_router(plan: RouterPlan, driver: Driver) -> None:
    """Make the mobile router's tables. Raises: DataPlaneError."""
    _nft(ruleset.router(plan.home_agent, driver) + clamping.of_router(plan))


def router_counters() -> dict[str, int]:
    """Tunnelled packets that a mobile router dropped. Raises: DataPlaneError."""
    return {f"tunnel_packets{{{name}}}": packets for name, (packets, _) in _counted(ROUTER_TABLE).items()}


def _counted(table: str) -> dict[str, tuple[int, int]]:
    asking = SetElements(table)
    try:
        return asking.counters()
    finally:
        asking.close()


def delete_table(name: str) -> None:
    """Remove our tables of this name, if they are there. Raises: DataPlaneError."""
    for family in ("ip6", "ip"):
        _nft(f"table {family} {name}\ndelete table {family} {name}\n")


def trial() -> None:
    """Have the kernel judge the source check without keeping any of it. Raises: DataPlaneError."""
    _nft(ruleset.trial())


def _keys(elements: Iterable[Element]) -> dict[Kind, list[bytes]]:
    """The kernel's keys of elements, by kind."""
    by_code: dict[int, list[bytes]] = {}
    for element in elements:
        by_code.setdefault(element[0], []).append(element[1:])
    return {kind_coded(code): keys for code, keys in by_code.items()}


def _by_set(keys: Mapping[Kind, list[bytes]]) -> dict[str, list[bytes]]:
    return {f"ok{kind}": some for kind, some in keys.items()}


def _nft(script: str) -> int:
    """Returns: the netlink port that the kernel gives the program if nobody has it: its process id."""
    what = "filtering tunnelled packets"
    try:
        program = subprocess.Popen(
            ["nft", "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
    except FileNotFoundError as error:
        raise DataPlaneError(what, "the program nft is not installed") from error
    except OSError as error:
        raise DataPlaneError(what, f"nft cannot be started: {error.strerror}") from error
    with program:
        try:
            _, complaints = program.communicate(script, timeout=20)
        except subprocess.TimeoutExpired as error:
            program.kill()
            raise DataPlaneError(what, "nft did not end within 20 s") from error
        except BaseException:
            program.kill()  # else it would be waited for
            raise
    if program.returncode:
        said = (complaints.strip().splitlines() or ["nft failed without a word"])[0]
        raise DataPlaneError(what, f"{said}: {NEEDS_ROOT}" if os.strerror(errno.EPERM) in said else said)
    return program.pid
