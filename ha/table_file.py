"""The customer table's file: read at the start, and again, in a thread, when it changed. An edge."""

import asyncio

from ha import customer_table
from ha.config import Config
from ha.customer_table import EMPTY, CustomerTable, TableRefused
from runtime import collector, log
from runtime.counters import Counters


class TableFile:
    """Where the office puts the table."""

    def __init__(self, config: Config, counters: Counters) -> None:
        self._config, self._counters = config, counters
        self._seen: tuple[int, int] | None = None

    def load(self, before: CustomerTable = EMPTY) -> CustomerTable:
        """The table as it is now. Raises: OSError, TableRefused."""
        self._seen = self._stamp()
        octets = self._config.customer_table.read_bytes()
        return customer_table.parse(octets, self._config.public_key_octets(), self._config.set, before)

    def has_changed(self) -> bool:
        """Is it another file than the one that was last read?"""
        return self._stamp() != self._seen

    async def newer(self, before: CustomerTable) -> CustomerTable | None:
        """The table if it is newer than `before`; a bad or older one is said, counted and left alone."""
        try:
            with collector.nothing_kept():
                table = await asyncio.to_thread(self.load, before)
        except (OSError, TableRefused) as error:
            self._counters.add("tables_refused")
            log.get().error("customer table refused, the old one stays", why=str(error))
            return None
        if table.version < before.version:
            self._counters.add("tables_refused")
            log.get().error("customer table refused: its version goes back", version=table.version)
        return table if table.version > before.version else None

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._config.customer_table.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino
