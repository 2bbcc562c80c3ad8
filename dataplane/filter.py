"""The nftables side: which tunnelled packets a home agent believes, and what a mobile router must not say.

Owns the tables `ip6 xsp_ha` and `ip6 xsp_mr`. The source check (RFC 6275 10.4.5, RFC 3963 9): the outer source must
be a care-of address of the customer that owns the inner source. One hash set per prefix length in use, keyed by both,
for packets with and without the encapsulation limit option (RFC 2473 4.1.1) that stock tunnels send; all else that is
tunnelled to the home agent is counted and dropped, outer fragments too: the kernel would decapsulate each by itself.
What the self-test sends to see it dropped is not counted.
Signalling is limited for each /48 and in all, before anybody looks at it.
Who can send with a customer's care-of address as source can pass the check; it is no authentication.

The tables are loaded by `nft` when the daemon starts, and a set when its length first occurs; loading again keeps
sets, elements and counters and loses no packet. Elements change by netlink.
"""

import errno
import ipaddress
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Set

from dataplane.entry import Prefix
from dataplane.errors import DataPlaneError
from dataplane.netlink import NEEDS_ROOT
from dataplane.nfnetlink import SetElements
from dataplane.numbers import TUNNEL_HOP_LIMIT
from dataplane.plan import Element
from dataplane.port import CHECK_LINGER_S
from dataplane.self_test import CARE_OF

HOME_AGENT_TABLE, ROUTER_TABLE, _TRIAL_TABLE = "xsp_ha", "xsp_mr", "xsp_trial"
_COUNTED_AS = {"signalling_of_one": "signalling_dropped", "signalling_of_all": "signalling_dropped"}
_UNKNOWN = b""  # the owner of an element found in the kernel
EXPIRE_AT_ONCE = 2000  # elements: under 10 ms by measurement, so that no caller's loop waits

_HOME_AGENT = """
table ip6 xsp_ha {{
    counter source_check {{ }}
    counter fragment {{ }}
    counter tunnel_payload {{ }}
    counter tunnelled_in {{ }}
    counter signalling_of_one {{ }}
    counter signalling_of_all {{ }}
    set signalling {{ type ipv6_addr; flags dynamic; timeout 10s; size 65536; }}
    chain tunnelled {{ }}
    chain tunnelled_limit {{ }}
    chain signalling {{ }}
    chain prerouting {{ type filter hook prerouting priority raw; policy accept; }}
    chain postrouting {{ type filter hook postrouting priority 0; policy accept; }}
}}
flush chain ip6 xsp_ha signalling
flush chain ip6 xsp_ha prerouting
flush chain ip6 xsp_ha postrouting
table ip6 xsp_ha {{
    chain prerouting {{
        ip6 daddr {address} ip6 nexthdr 41 jump tunnelled
        ip6 daddr {address} ip6 nexthdr 60 @nh,320,16 0x2900 jump tunnelled_limit
        ip6 daddr {address} meta l4proto 41 exthdr frag exists counter name fragment drop
        ip6 daddr {address} meta l4proto 41 ip6 saddr != {self_test} counter name source_check
        ip6 daddr {address} meta l4proto 41 drop
        ip6 daddr {address} meta l4proto {{ 4, 47, 137 }} counter name tunnel_payload drop
        ip6 daddr {address} meta l4proto 135 jump signalling
    }}
    chain signalling {{
        update @signalling {{ ip6 saddr & ffff:ffff:ffff:: limit rate over {of_one}/second burst {of_one} packets }} \
            counter name signalling_of_one drop
        limit rate over {of_all}/second burst {of_all} packets counter name signalling_of_all drop
    }}
    chain postrouting {{
        ip6 saddr {address} meta l4proto 41 ip6 hoplimit set {hop_limit}
    }}
}}
"""

# The inner source begins at bit (40 + 8) * 8 of the outer header; with an option before it, eight octets later.
_LENGTH = """
table ip6 xsp_ha {{
    set ok{length} {{ typeof ip6 saddr . @nh,384,{bits}; }}
    chain tunnelled {{ ip6 saddr . @nh,384,{bits}{mask} @ok{length} counter name tunnelled_in accept; }}
    chain tunnelled_limit {{ ip6 saddr . @nh,448,{bits}{mask} @ok{length} counter name tunnelled_in accept; }}
}}
"""

# The kernel knows no type 2 routing header and would answer each with a Parameter Problem (RFC 6275 6.4).
_ROUTER = """
table ip6 xsp_mr {{
    chain output {{ type filter hook output priority raw; policy accept; }}
    chain postrouting {{ type filter hook postrouting priority 0; policy accept; }}
}}
flush chain ip6 xsp_mr output
flush chain ip6 xsp_mr postrouting
table ip6 xsp_mr {{
    chain output {{
        icmpv6 type parameter-problem @th,112,8 43 @th,400,8 2 drop
    }}
    chain postrouting {{
        ip6 daddr {address} meta l4proto 41 ip6 hoplimit set {hop_limit}
    }}
}}
"""


class SourceCheck:
    """The elements of the source check, each with the customer it was entered for. Raises: DataPlaneError.

    An element may be wanted by one customer and left by another (a network that moves between two behind one line):
    only its last owner takes it out. `on_script` is called when `nft` has changed our table, which it does under a
    netlink port of its own.
    """

    def __init__(self, on_script: Callable[[], None]) -> None:
        self._sets: SetElements | None = None
        self._owners: dict[Element, bytes] = {}
        self._leaving: dict[Element, float | None] = {}
        self._lengths: set[int] = set()
        self._on_script = on_script

    @property
    def port(self) -> int:
        """The netlink port by which elements change."""
        return self._required().port

    def prepare(self, address: bytes, signalling: tuple[int, int]) -> None:
        """Load the table for this home agent address; sets and their elements stay as they are.

        `signalling`: see `SitePlan`.
        """
        _nft(_home_agent_table(str(ipaddress.IPv6Address(address)), signalling))
        self._on_script()
        if self._sets is None:
            self._sets = SetElements(HOME_AGENT_TABLE)
        self._lengths = _lengths(self._sets)

    def reload(self) -> None:
        """Take the elements from the kernel, whoever entered them."""
        sets = self._required()
        self._lengths = _lengths(sets)
        found = (_element(length, key) for length in self._lengths for key in sets.keys(_set_name(length)))
        self._owners = {element: self._owners.get(element, _UNKNOWN) for element in found}
        self._leaving = {element: at for element, at in self._leaving.items() if element in self._owners}

    def enter(self, wanted: Mapping[bytes, Iterable[Element]]) -> dict[bytes, str]:
        """Enter what these customers need. Returns: whom it was refused, and why; the others have it."""
        refused: dict[bytes, str] = {}
        try:
            self._enter({element for elements in wanted.values() for element in elements})
        except DataPlaneError:
            refused = self._enter_each(wanted)
        for owner, elements in wanted.items():
            if owner not in refused:
                self._owners |= dict.fromkeys(elements, owner)
                for element in elements if self._leaving else ():
                    self._leaving.pop(element, None)
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
        new = [element for element in elements if element not in self._owners]
        sets = self._required()
        for length in {prefix.length for _, prefix in new} - self._lengths:
            bits = 8 * _octets(length)
            mask = f" & {((1 << length) - 1) << (bits - length):#x}" if bits != length else ""
            _nft(_LENGTH.format(length=length, bits=bits, mask=mask))
            self._on_script()
            self._lengths.add(length)
        sets.change([_key(element) for element in new], [])

    def leave(self, owner: bytes, elements: Iterable[Element]) -> None:
        """Take these out after a linger, unless another customer has taken them over."""
        for element in elements:
            if self._owners.get(element) in (owner, _UNKNOWN):
                self._leaving.setdefault(element, None)

    def leave_all_but(self, right: Set[Element]) -> None:
        """Take out after a linger whatever is not in `right`."""
        for element in self._owners.keys() - right:
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
        sets = self._required()
        try:
            sets.change([], [_key(element) for element in due])
        except DataPlaneError:
            # Somebody took one out already, which spoils the transaction: ask what is left.
            left = {(name, key) for name in {_key(element)[0] for element in due} for key in sets.keys(name)}
            sets.change([], [key for key in map(_key, due) if key in left])

    def allows(self, care_of: bytes, address: bytes) -> bool:
        """True if `address` is of the customer behind this care-of address, by the same elements as in the kernel."""
        whole = int.from_bytes(address, "big")
        for length in self._lengths:
            rest = 128 - length
            if (care_of, Prefix((whole >> rest << rest).to_bytes(16, "big"), length)) in self._owners:
                return True
        return False

    def counters(self) -> dict[str, int]:
        """Packets by what became of them, and elements in use."""
        packets = {
            f"{_COUNTED_AS.get(name, 'tunnel_packets')}{{{name}}}": count
            for name, count in self._required().counters().items()
        }
        return {**packets, "check_elements": len(self._owners), "check_elements_leaving": len(self._leaving)}

    @property
    def changes_sent(self) -> int:
        """How many messages changed elements."""
        return self._required().changes_sent

    def purge(self) -> None:
        """Remove the table."""
        delete_table(HOME_AGENT_TABLE)
        self._owners, self._leaving, self._lengths = {}, {}, set()

    def _required(self) -> SetElements:
        if self._sets is None:
            raise DataPlaneError("changing the source check", "the site was not prepared")
        return self._sets


def load_router(home_agent: bytes) -> None:
    """Make the mobile router's table. Raises: DataPlaneError."""
    _nft(_ROUTER.format(address=ipaddress.IPv6Address(home_agent), hop_limit=TUNNEL_HOP_LIMIT))


def delete_table(name: str) -> None:
    """Remove a table if it is there. Raises: DataPlaneError."""
    _nft(f"table ip6 {name}\ndelete table ip6 {name}\n")


def trial() -> None:
    """Have the kernel judge the source check without keeping any of it. Raises: DataPlaneError."""
    script = _home_agent_table("::", (1, 1)) + _LENGTH.format(length=56, bits=56, mask="")
    _nft(script.replace(HOME_AGENT_TABLE, _TRIAL_TABLE) + f"delete table ip6 {_TRIAL_TABLE}\n")


def _home_agent_table(address: str, signalling: tuple[int, int]) -> str:
    of_one, of_all = signalling
    tested = ipaddress.IPv6Address(CARE_OF)
    return _HOME_AGENT.format(
        address=address, hop_limit=TUNNEL_HOP_LIMIT, of_one=of_one, of_all=of_all, self_test=tested
    )


def _lengths(sets: SetElements) -> set[int]:
    """The prefix lengths that have a set, and so the rules that ask it: both came in one transaction."""
    return {int(name.removeprefix("ok")) for name in sets.names() if name.startswith("ok")}


def _key(element: Element) -> tuple[str, bytes]:
    """The set and the key of an element: care-of address, then as many octets as the prefix reaches into, padded."""
    care_of, (network, length) = element
    name, size, padding = _KEY_OF[length]
    return name, care_of + network[:size] + padding


def _element(length: int, key: bytes) -> Element:
    size = _octets(length)
    return key[:16], Prefix(key[16 : 16 + size] + bytes(16 - size), length)


def _set_name(length: int) -> str:
    return f"ok{length}"


def _octets(length: int) -> int:
    return (length + 7) // 8


_KEY_OF = {length: (_set_name(length), _octets(length), bytes(-_octets(length) % 4)) for length in range(129)}


def _nft(script: str) -> None:
    what = "filtering tunnelled packets"
    try:
        done = subprocess.run(["nft", "-f", "-"], input=script, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError as error:
        raise DataPlaneError(what, "the program nft is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise DataPlaneError(what, "nft did not end within 20 s") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nft failed without a word"])[0]
        raise DataPlaneError(what, f"{said}: {NEEDS_ROOT}" if os.strerror(errno.EPERM) in said else said)
