"""Watches the lines through one rtnetlink socket and reports what changed.

Owns the socket, the dumps that give the first view, and the view itself: per configured line its carrier, its care-of
address and its gateway. Refuses to decide whether a line is good (`uplink.py`) or what to do about it.

Carrier. A loss is mostly reported at once, but the kernel holds back news of a link for up to a second if it had
other link news, in whichever namespace, during the last second (net/core/link_watch.c). So we also ask each line's
driver (ETHTOOL_GLINK, 4 microseconds a line) and fetch the links anew when its answer differs from what we believe:
every 10 ms for as long as news that we saw can hold back the next, otherwise every 50 ms (the waking up costs 0.4 %
of a slow core).

Gateways come from the configuration, else from the default routes of the main table. Those are never followed change by
change (siblings of a multipath route appear and vanish in several forms): any change of a default route, link or
address leads to a fresh dump. A lost notification (ENOBUFS) leads to a dump of everything.
"""

import array
import asyncio
import errno
import fcntl
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence

from mr import rtnetlink
from mr.events import UplinkChanged
from mr.settings import LineSettings
from mr.uplink import InterfaceAddress, choose_care_of

START_TIMEOUT_S = 5.0
PROBE_INTERVAL_S = 0.01  # half of the 20 ms a lost carrier may stay unnoticed
REST_INTERVAL_S = 0.05  # news in other namespaces, which we do not see, may hold back ours
HOLD_BACK_S = 1.2  # the kernel's second and some room

_RTMGRP_LINK, _RTMGRP_IPV6_IFADDR, _RTMGRP_IPV6_ROUTE = 0x1, 0x100, 0x400
_SOL_NETLINK, _NETLINK_GET_STRICT_CHK = 270, 12
_RECEIVE_BUFFER_BYTES = 1 << 20
_DATAGRAM_BYTES = 1 << 16
_SIOCETHTOOL = 0x8946
_ETHTOOL_GLINK = 0x0A
_EVERYTHING = (rtnetlink.RTM_GETLINK, rtnetlink.RTM_GETADDR, rtnetlink.RTM_GETROUTE)


class LinkWatch:
    """The watch over some lines; `report` is called with each line's state, first for all and then on change.

    Raises: OSError from the constructor if the kernel refuses the socket.
    """

    def __init__(self, lines: Sequence[LineSettings], report: Callable[[UplinkChanged], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines = tuple(lines)
        self._report = report
        self._reported: dict[int, UplinkChanged] = {}
        self._links: dict[int, rtnetlink.Link] = {}
        self._addresses: dict[int, dict[bytes, InterfaceAddress]] = {}
        self._routes: list[rtnetlink.DefaultRoute] = []
        self._arriving: list[rtnetlink.DefaultRoute] = []
        self._dumps: deque[int] = deque()
        self._dumping: int | None = None
        self._interrupted = False
        self._sequence = 0
        self._complete = asyncio.Event()
        self._probe: asyncio.TimerHandle | None = None
        self._probe_until = 0.0
        self._driver_socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        self._socket.bind((0, _RTMGRP_LINK | _RTMGRP_IPV6_IFADDR | _RTMGRP_IPV6_ROUTE))
        self._socket.setblocking(False)

    async def start(self) -> None:
        """Begin to watch; returns after the first view of every line was reported.

        Raises: TimeoutError if the kernel does not answer.
        """
        self._loop.add_reader(self._socket, self._readable)
        self._want(*_EVERYTHING)
        await asyncio.wait_for(self._complete.wait(), START_TIMEOUT_S)
        self._probe_soon()

    def close(self) -> None:
        """Stop watching."""
        if self._probe is not None:
            self._probe.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._driver_socket.close()

    def interface_index(self, interface: str) -> int:
        """The present index of an interface; 0 if there is none."""
        return next((link.index for link in self._links.values() if link.name == interface), 0)

    # -- the socket ---------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            while True:
                for message in rtnetlink.messages(self._socket.recv(_DATAGRAM_BYTES)):
                    self._take(message)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._complete.clear()
            self._links.clear()
            self._addresses.clear()
            self._want(*_EVERYTHING)
        if self._complete.is_set():
            self._compare()

    def _want(self, *kinds: int) -> None:
        for kind in kinds:
            if kind not in self._dumps:
                self._dumps.append(kind)
        self._next_dump()

    def _next_dump(self) -> None:
        if self._dumping is None and self._dumps:
            self._dumping = self._dumps.popleft()
            self._interrupted = False
            self._arriving = []
            self._sequence += 1
            self._socket.send(rtnetlink.dump_request(self._dumping, self._sequence))

    def _dump_ended(self) -> None:
        ended, self._dumping = self._dumping, None
        if ended is None:
            return
        if self._interrupted:
            self._dumps.append(ended)
        elif ended == rtnetlink.RTM_GETROUTE:
            self._routes = self._arriving
        self._next_dump()
        if self._dumping is None:
            self._complete.set()

    # -- the view -----------------------------------------------------------------------------------------------

    def _take(self, message: rtnetlink.Message) -> None:
        ours = self._dumping is not None and message.sequence == self._sequence
        self._interrupted |= ours and bool(message.flags & rtnetlink.NLM_F_DUMP_INTR)
        match message.type:
            case rtnetlink.NLMSG_DONE | rtnetlink.NLMSG_ERROR:
                if ours:
                    self._dump_ended()
            case rtnetlink.RTM_NEWLINK | rtnetlink.RTM_DELLINK:
                self._take_link(rtnetlink.link(message), ours)
            case rtnetlink.RTM_NEWADDR | rtnetlink.RTM_DELADDR:
                self._take_address(rtnetlink.address(message), ours)
            case rtnetlink.RTM_NEWROUTE | rtnetlink.RTM_DELROUTE:
                routes = rtnetlink.default_routes(message)
                if ours:
                    self._arriving += routes
                elif routes:
                    self._want(rtnetlink.RTM_GETROUTE)

    def _take_link(self, link: rtnetlink.Link, from_dump: bool) -> None:
        if link.gone:
            self._links.pop(link.index, None)
            self._addresses.pop(link.index, None)
        else:
            self._links[link.index] = link
        if not from_dump:
            self._follow()
            self._probe_soon()

    def _take_address(self, address: rtnetlink.Address | None, from_dump: bool) -> None:
        if address is None:
            return
        present = self._addresses.setdefault(address.index, {})
        if address.gone:
            present.pop(address.address.address, None)
        else:
            present[address.address.address] = address.address
        if not from_dump:
            self._follow()

    def _follow(self) -> None:
        """After each change by itself: a loss and a return in one datagram are two changes, because the kernel drops
        nexthops at the first and does not bring them back at the second."""
        self._want(rtnetlink.RTM_GETROUTE)
        if self._complete.is_set():
            self._compare()

    def _compare(self) -> None:
        for line in self._lines:
            seen = self._see(line)
            if self._reported.get(line.bid) != seen:
                self._reported[line.bid] = seen
                self._report(seen)

    def _see(self, line: LineSettings) -> UplinkChanged:
        index = self.interface_index(line.interface)
        before = self._reported.get(line.bid)
        addresses = self._addresses.get(index, {}).values()
        care_of = choose_care_of(addresses, before.care_of if before is not None else None)
        ways = sorted((route.metric, route.gateway) for route in self._routes if route.index == index)
        gateway = line.gateway or (ways[0][1] if ways else None)
        return UplinkChanged(line.bid, index in self._links and self._links[index].carrier, care_of, gateway)

    # -- the driver's own word ----------------------------------------------------------------------------------

    def _ask_drivers(self) -> None:
        for line in self._lines:
            seen = self._reported.get(line.bid)
            if seen is not None and seen.carrier and self._driver_reports_link(line.interface) is False:
                self._want(rtnetlink.RTM_GETLINK)
        interval_s = PROBE_INTERVAL_S if self._loop.time() < self._probe_until else REST_INTERVAL_S
        self._probe = self._loop.call_later(interval_s, self._ask_drivers)

    def _probe_soon(self) -> None:
        self._probe_until = self._loop.time() + HOLD_BACK_S
        if self._probe is not None:
            self._probe.cancel()
        self._probe = self._loop.call_later(PROBE_INTERVAL_S, self._ask_drivers)

    def _driver_reports_link(self, interface: str) -> bool | None:
        """What the driver says of the carrier now; None if it cannot say."""
        value = array.array("I", (_ETHTOOL_GLINK, 0))
        request = struct.pack("16sP", interface.encode(), value.buffer_info()[0])
        try:
            fcntl.ioctl(self._driver_socket, _SIOCETHTOOL, request)
        except OSError:
            return None
        return bool(value[1])
