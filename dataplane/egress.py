"""The ways out of a site: its default routes, looked after by a netlink socket of their own. An edge.

The driver's own socket may be busy for seconds with what it holds of 100,000 customers. A site that has no way out
meanwhile loses everything, so whether there is one is asked beside it, at any moment.
"""

import socket
import threading
from collections.abc import Sequence

from dataplane.entry import Egress
from dataplane.errors import DataPlaneError
from dataplane.message import Refusal
from dataplane.netlink import NetlinkSocket
from dataplane.numbers import EGRESS_METRIC, HOME_AGENT_PROTOCOL
from dataplane.rtnetlink import (
    Route,
    default_route_question,
    has_carrier,
    is_usable_default,
    link_question,
    put_route,
)
from dataplane.sysctl import set_sysctl

_ANYWHERE = (bytes(16), 0)


class Egresses:
    """The default routes of one site. Its calls may come from any thread. Raises: DataPlaneError."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(socket.NETLINK_ROUTE)
        self._one_at_a_time = threading.Lock()  # each holds it for two answers of the kernel
        self._egresses: Sequence[Egress] = ()

    @property
    def port(self) -> int:
        """The netlink port by which they change."""
        return self._netlink.port

    def put(self, egresses: Sequence[Egress]) -> None:
        """From now on these, the first preferred. Raises: DataPlaneError also if there is no interface of any."""
        if egresses and not any(map(_index, egresses)):
            names = ", ".join(egress.interface for egress in egresses)
            raise DataPlaneError("setting the default route", f"no such interface: {names}")
        with self._one_at_a_time:
            self._egresses = egresses
            for place, egress in enumerate(egresses):
                if _index(egress):
                    self._put(place, egress)

    def present(self) -> bool:
        """Does one lead out? Those that the kernel took away with their interfaces are put back."""
        present = False
        with self._one_at_a_time:
            for place, egress in enumerate(self._egresses):
                if _index(egress) and not self._leads_out(egress):
                    self._put(place, egress)
                present = (_index(egress) > 0 and self._leads_out(egress)) or present
        return present

    def _put(self, place: int, egress: Egress) -> None:
        """A refusal (the interface is down) is no error here: `present` looks, and tries again."""
        set_sysctl(f"net/ipv6/conf/{egress.interface}/ignore_routes_with_linkdown", "1")
        metric, index = EGRESS_METRIC + place, _index(egress)
        route = Route(_ANYWHERE, HOME_AGENT_PROTOCOL, metric=metric, gateway=egress.gateway, interface=index)
        self._netlink.execute([put_route(route)])

    def _leads_out(self, egress: Egress) -> bool:
        index = _index(egress)
        link = self._netlink.ask(*link_question(index))
        if isinstance(link, Refusal) or not has_carrier(link):
            return False
        route = self._netlink.ask(*default_route_question(index))
        return not isinstance(route, Refusal) and is_usable_default(route)


def _index(egress: Egress) -> int:
    """The index of an egress's interface; 0 if there is none of that name."""
    try:
        return socket.if_nametoindex(egress.interface)
    except OSError:
        return 0
