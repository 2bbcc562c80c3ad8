"""The self-test of a home agent's data plane: its customer, its packets, and what may be said of them. Pure.

Theory of operation. The data plane has one customer more, whose only line leads back to us through a TUN device. Each
round takes the way of a customer's packets: one in by the device, as from the Internet, for the test's home address;
the kernel forwards, encapsulates and sends it out of the device to the test's care-of address. There we are the mobile
router: a packet goes back through the reverse tunnel, which the kernel checks, decapsulates and forwards to the host
that began. A second one with an inner source that is not the customer's must not come through.

    inner      host -> home address        into the device
    outer      home agent -> care-of       out of it: encapsulated, hop limit set
    reverse    care-of -> home agent       into it: home address -> host inside
    inner      home address -> host        out of it: checked, decapsulated

The care-of address and the host are of the discard-only prefix (RFC 6666): what leaks goes nowhere. They are made anew
by each process and known to nobody else: no customer can send to the test, and nobody can take its place. The home
address has an identifier that no node may have (RFC 2526 2, reserved). Anybody can send to it, so only what the host
sends is let through to the device (`ruleset.py`).
"""

import struct
from dataclasses import dataclass

from dataplane.entry import ForwardingEntry, Path, SelfTestLine
from dataplane.numbers import DISCARD_ONLY

DEVICE = "xsp-selftest"
SECRET_OCTETS = 16
IDENTIFIER = bytes.fromhex("fdfffffffffffffd")  # RFC 2526: 125, reserved
STRANGER = bytes.fromhex("fdfffffffffffffc")
ROUND_S = 0.1
PATIENCE_S = 0.03  # for one packet; on the way it is only in our own kernel
RISE = 3  # good rounds until a failed self-test counts as passed
SOON = 5
AGAIN, AGAIN_MAX = 50, 600  # bad rounds until a failure that stays the same is told again: 5 s, then doubled to 60 s
PROTOCOL = 253  # for experiments (RFC 3692); what becomes of it depends on nobody's rules for ports
IPV6_IN_IPV6 = 41
INNER_HOP_LIMIT = 37  # unlike the outer one, so that copying it shows
_HEADER = struct.Struct(">IHBB16s16s")
_NUMBER = struct.Struct(">Q")
_VERSION = 6 << 28


def home_address(home_agent_address: bytes) -> bytes:
    """The home address of the test's customer, on the home agent's own /64."""
    return home_agent_address[:8] + IDENTIFIER


def line(secret: bytes) -> SelfTestLine:
    """The line of the test's customer, its addresses made of that many random octets."""
    care_of, host = secret[:8], secret[8:SECRET_OCTETS]
    return SelfTestLine(DEVICE, DISCARD_ONLY + care_of, DISCARD_ONLY + host)


def entry(home_agent_address: bytes, by: SelfTestLine) -> ForwardingEntry:
    """The test's customer."""
    return ForwardingEntry(home_address(home_agent_address), (), (Path(1, by.care_of),))


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet of the test that came out of the device. `outer_hop_limit` None: it came without a tunnel."""

    number: int
    outer_hop_limit: int | None
    from_stranger: bool = False


class Packets:
    """Makes and reads the packets of one home agent's test."""

    def __init__(self, home_agent_address: bytes, by: SelfTestLine) -> None:
        self._home_agent, self._care_of, self._host = home_agent_address, by.care_of, by.host
        self._home = home_address(home_agent_address)
        self._stranger = home_agent_address[:8] + STRANGER

    def outbound(self, number: int) -> bytes:
        """What a host in the Internet would send to the customer."""
        return _packet(self._host, self._home, PROTOCOL, _NUMBER.pack(number))

    def reverse(self, number: int) -> bytes:
        """The mobile router's answer through the tunnel."""
        inner = _packet(self._home, self._host, PROTOCOL, _NUMBER.pack(number))
        return _packet(self._care_of, self._home_agent, IPV6_IN_IPV6, inner)

    def spoofed(self, number: int) -> bytes:
        """The same with an inner source that is nobody's behind that line."""
        inner = _packet(self._stranger, self._host, PROTOCOL, _NUMBER.pack(number))
        return _packet(self._care_of, self._home_agent, IPV6_IN_IPV6, inner)

    def read(self, octets: bytes) -> Seen | None:
        """What came out of the device; None if it is not of the test."""
        outer = _unpack(octets)
        if outer is None:
            return None
        source, destination, protocol, hop_limit, payload = outer
        if (source, destination, protocol) == (self._home_agent, self._care_of, IPV6_IN_IPV6):
            inner = _unpack(payload)
            if inner is None or inner[:3] != (self._host, self._home, PROTOCOL):
                return None
            return _seen(inner[4], hop_limit)
        if destination == self._host and protocol == PROTOCOL and source in (self._home, self._stranger):
            return _seen(payload, None, source == self._stranger)
        return None


class Judge:
    """What the packets say. `verdict` None: passed; a text: why not; before the first round `PENDING`.

    What fails for long is told again, ever more rarely: what was repaired when it was told first may be broken anew.
    """

    def __init__(self) -> None:
        self.verdict: str | None = PENDING
        self._good = self._bad = 0
        self._told_for = 0  # bad rounds until it was told last

    def failed(self, why: str) -> bool:
        """A round, and its repetition, failed. Returns: is that to be told?"""
        is_new, self.verdict, self._good = why != self.verdict, why, 0
        self._bad = 1 if is_new else self._bad + 1
        if is_new or self._bad >= self._told_for + min(max(self._told_for, AGAIN), AGAIN_MAX):
            self._told_for = self._bad
            return True
        return False

    def tell_soon(self) -> None:
        """If it fails on in the same way that is told again in `SOON` rounds, and then ever more rarely again."""
        self._bad, self._told_for = AGAIN - SOON, 0

    def passed(self) -> bool:
        """A round came through. After a failure `RISE` of them count. Returns: is that to be told?"""
        self._good += 1
        if self.verdict is None or (self.verdict != PENDING and self._good < RISE):
            return False
        self.verdict = None
        return True


@dataclass
class Round:
    """One pass, as far as it has come."""

    number: int
    tunnelled: bool = False
    returned: bool = False
    trouble: str = ""

    def saw(self, seen: Seen, hop_limit: int) -> bool:
        """Take what came out of the device; whether the reverse packets are due now."""
        if seen.number != self.number:
            return False
        if seen.from_stranger:
            self.trouble = "a spoofed inner source was let through"
        elif seen.outer_hop_limit is None:
            self.returned = True
        else:
            first, self.tunnelled = not self.tunnelled, True
            if seen.outer_hop_limit != hop_limit:
                self.trouble = f"the tunnel's hop limit is {seen.outer_hop_limit} instead of {hop_limit}"
            return first
        return False

    @property
    def done(self) -> bool:
        """Nothing more is awaited. The spoofed packet goes before the true one, so it would have come by now."""
        return self.returned or bool(self.trouble)

    @property
    def failure(self) -> str:
        """What is wrong with it, empty if nothing."""
        if self.trouble:
            return self.trouble
        if not self.tunnelled:
            return "a packet for a customer does not come out of its tunnel's beginning"
        return "" if self.returned else "a packet from a customer's tunnel does not come back"


PENDING = "the self-test has not passed yet"


def _packet(source: bytes, destination: bytes, protocol: int, payload: bytes) -> bytes:
    return _HEADER.pack(_VERSION, len(payload), protocol, INNER_HOP_LIMIT, source, destination) + payload


def _unpack(octets: bytes) -> tuple[bytes, bytes, int, int, bytes] | None:
    """Source, destination, next header, hop limit, payload."""
    if len(octets) < _HEADER.size or octets[0] >> 4 != 6:
        return None
    _, length, protocol, hop_limit, source, destination = _HEADER.unpack_from(octets)
    return source, destination, protocol, hop_limit, octets[_HEADER.size : _HEADER.size + length]


def _seen(payload: bytes, hop_limit: int | None, from_stranger: bool = False) -> Seen | None:
    return Seen(_NUMBER.unpack(payload)[0], hop_limit, from_stranger) if len(payload) == _NUMBER.size else None
