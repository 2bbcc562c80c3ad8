"""`xsp-ha accounting` at the daemon's end of the control socket: reads in a thread, answers page by page. An edge."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from ipaddress import IPv6Address
from typing import Any

from dataplane.entry import Prefix, Volume
from dataplane.errors import DataPlaneError
from ha import accounting
from ha.customer_table import Customer
from runtime import control

Read = Callable[[Iterable[Prefix] | None], Awaitable[Mapping[Prefix, Volume]]]


class AccountingCommand:
    """Answers one customer's volumes, or everybody's, of which a client fetches the pages of one reading.

    Args:
        read: the kernel's counters. customers: those of the table in force, by home address.
    """

    def __init__(self, read: Read, customers: Callable[[], Mapping[bytes, Customer]]) -> None:
        self._read, self._customers = read, customers
        self._rows: list[dict[str, Any]] = []  # the last reading of all

    async def answer(self, request: Mapping[str, Any]) -> dict[str, object]:
        """With `home_address`: that customer. Else a page from row `start` on; 0 reads anew.

        Raises: control.Refusal if the customer is unknown, the request is not understood or the kernel is silent.
        """
        try:
            home = request.get("home_address")
            start = int(request.get("start") or 0)
            if home is not None:
                return {"customers": await self._one(IPv6Address(str(home)).packed), "next": None}
            if start <= 0:
                self._rows = await self._all()
        except ValueError as error:
            raise control.Refusal(f"the request is not understood ({error})", "Name a home address") from error
        except DataPlaneError as error:
            raise control.Refusal(f"the counters cannot be read: {error}", "See 'xsp-ha status'") from error
        end = max(0, start) + accounting.PAGE
        more = end < len(self._rows)
        page = self._rows[max(0, start) : end]
        if not more:
            self._rows = []
        return {"customers": page, "next": end if more else None}

    async def _one(self, home_address: bytes) -> list[dict[str, Any]]:
        customer = self._customers().get(home_address)
        if customer is None:
            what = f"{IPv6Address(home_address)} is no customer of this site's table"
            raise control.Refusal(what, "Without a home address all are shown")
        return accounting.rows([customer], await self._read(accounting.owned(customer)))

    async def _all(self) -> list[dict[str, Any]]:
        customers = self._customers()
        volumes = await self._read(None)
        return await asyncio.to_thread(lambda: accounting.rows(customers.values(), volumes))
