"""Sends numbered probes between nodes and watches where they pass. One process, one clock, sockets in many namespaces.

Owns two threads: one sends, one reads every receiving and capturing socket. Arrival times are the kernel's own
(SO_TIMESTAMPNS), so a busy reader delays nothing but itself; buffers hold more than a second of probes. Refuses to
decide what a loss means: the ledger counts.
"""

import errno
import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from lab import probe_packet
from lab.ledger import Flow, Ledger
from lab.netns import Network
from lab.probe_packet import FilterProgram, Instruction

ETH_P_ALL = 0x0003  # linux/if_ether.h; only this sees what leaves
SO_TIMESTAMPNS = 35  # asm-generic/socket.h
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
READ_AT_ONCE = 256
STILL_UNDER_WAY_S = 0.3
SWITCH_INTERVAL_S = 0.0005  # a sender that is due waits so long for a busy main thread, not Python's 5 ms
_TIMESPEC = struct.Struct("ll")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)


@dataclass(frozen=True, slots=True)
class Stream:
    """Probes from one host to another at a total rate, spread over source ports. Addresses as text."""

    source_node: str
    source: str
    destination_node: str
    destination: str
    rate_hz: float
    source_ports: tuple[int, ...]

    @property
    def direction(self) -> str:
        """How the report calls it."""
        return f"{self.source_node}->{self.destination_node}"


@dataclass
class _Sending:
    """One flow on its way: its socket, its number in the ledger, its pace."""

    socket: socket.socket
    destination: tuple[str, int]
    flow: int
    interval_s: float
    next_at: float = field(default=0.0)


class Prober:
    """Sends and watches from `start()` to `stop()`."""

    def __init__(self, network: Network, streams: Sequence[Stream], sites: Sequence[str], lines: Sequence[str]) -> None:
        flows = [Flow(stream.direction, port) for stream in streams for port in stream.source_ports]
        self.ledger = Ledger(flows, sites, lines)
        self.errors: dict[str, int] = {}
        self._network = network
        self._streams = streams
        self._sending: list[_Sending] = []
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        self._stop_sending, self._stop_reading = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    # -- life

    def start(self) -> None:
        """Open every socket, then begin."""
        try:
            for node in dict.fromkeys(stream.destination_node for stream in self._streams):
                self._watch(self._network.inside(node, _receiver), self.ledger.received)
            self._capture_sites()
            self._capture_lines()
            self._open_senders()
        except BaseException:
            self._close()
            raise
        self._switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        for work in (self._read, self._send):
            thread = threading.Thread(target=work, name=f"prober {work.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop sending, let the last ones arrive, close. Stopping twice is fine."""
        self._stop_sending.set()
        if self._threads:
            time.sleep(STILL_UNDER_WAY_S)
        self._stop_reading.set()
        for thread in self._threads:
            thread.join()
        if self._threads:
            sys.setswitchinterval(self._switch_interval_s)
        self._threads = []
        self._close()

    def _close(self) -> None:
        self._selector.close()
        for one in self._sockets:
            one.close()
        self._sockets = []

    # -- sockets

    def _capture_sites(self) -> None:
        for index, site in enumerate(self.ledger.sites):
            one = self._network.inside(site, partial(_capture, "isp", probe_packet.outgoing_filter()))
            self._watch(one, _mark(self.ledger.seen_at_site, index), captured=True)

    def _capture_lines(self) -> None:
        for index, line in enumerate(self.ledger.lines):
            one = self._network.inside("mr", partial(_capture, line, probe_packet.tunnelled_filter()))
            self._watch(one, _mark(self.ledger.seen_on_line, index), captured=True)

    def _open_senders(self) -> None:
        flow = 0
        for stream in self._streams:
            interval_s = len(stream.source_ports) / stream.rate_hz
            for place, port in enumerate(stream.source_ports):
                one = self._network.inside(stream.source_node, partial(_sender, stream.source, port))
                self._sockets.append(one)
                offset_s = interval_s * place / len(stream.source_ports) + flow * 0.0003
                self._sending.append(_Sending(one, (stream.destination, probe_packet.PORT), flow, interval_s, offset_s))
                flow += 1

    def _watch(self, one: socket.socket, note: Callable[[int, float], None], captured: bool = False) -> None:
        self._sockets.append(one)
        decode = probe_packet.decode_captured if captured else probe_packet.decode
        self._selector.register(one, selectors.EVENT_READ, (decode, note))

    # -- the two threads

    def _send(self) -> None:
        began = time.monotonic()
        for sending in self._sending:
            sending.next_at += began
        while not self._stop_sending.is_set():
            now = time.monotonic()
            for sending in self._sending:
                if sending.next_at <= now:
                    self._send_one(sending)
            pause_s = min(sending.next_at for sending in self._sending) - time.monotonic()
            if pause_s > 0:
                time.sleep(pause_s)

    def _send_one(self, sending: _Sending) -> None:
        now = time.monotonic()
        # Missed beats are left out: a burst would measure our own lateness. The beat stays, so that flows stay apart.
        missed = (now - sending.next_at) // sending.interval_s
        sending.next_at += (missed + 1) * sending.interval_s
        number = self.ledger.sent(sending.flow, now)
        try:
            sending.socket.sendto(probe_packet.encode(number), sending.destination)
        except OSError as error:
            # A host without a route, or an ICMP error for an earlier one: this probe is lost, and counted as such.
            reason = error.strerror or str(error)
            self.errors[reason] = self.errors.get(reason, 0) + 1

    def _read(self) -> None:
        while not self._stop_reading.is_set():
            for key, _ in self._selector.select(timeout=0.1):
                decode, note = key.data
                to_monotonic = time.monotonic() - time.time()
                self._drain(key.fileobj, decode, note, to_monotonic)  # type: ignore[arg-type]

    def _drain(
        self,
        one: socket.socket,
        decode: Callable[[bytes], int | None],
        note: Callable[[int, float], None],
        to_monotonic: float,
    ) -> None:
        for _ in range(READ_AT_ONCE):
            try:
                octets, ancillary, _, _ = one.recvmsg(probe_packet.CAPTURE_BYTES, _ANCILLARY_BYTES)
            except OSError as error:
                if isinstance(error, BlockingIOError | ConnectionError) or error.errno == errno.ENETDOWN:
                    return  # nothing more; a refused probe's ICMP error; the interface went down, and may come back
                raise
            number = decode(octets)
            if number is not None:
                note(number, _kernel_time(ancillary) + to_monotonic)


def _mark(note: Callable[[int, int], None], index: int) -> Callable[[int, float], None]:
    return lambda number, _at: note(number, index)


def _kernel_time(ancillary: list[tuple[int, int, bytes]]) -> float:
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack(value[: _TIMESPEC.size])
            return float(seconds + nanoseconds / 1e9)
    return time.time()


# -- made inside a namespace


def _sender(address: str, port: int) -> socket.socket:
    one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    one.bind((address, port))
    return one


def _receiver() -> socket.socket:
    one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    _widen(one)
    one.bind(("::", probe_packet.PORT))
    return one


def _capture(interface: str, instructions: Sequence[Instruction]) -> socket.socket:
    program = FilterProgram(instructions)
    # Protocol 0 hears nothing until bind: the filter is in place before the first packet.
    one = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
    one.setsockopt(socket.SOL_SOCKET, probe_packet.SO_ATTACH_FILTER, program.octets)
    _widen(one)
    one.bind((interface, ETH_P_ALL))
    return one


def _widen(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    one.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
