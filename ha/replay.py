"""Plays a journal to a fresh home agent and tells what it would do: the same as then, if nothing was changed since."""

import json
from collections.abc import Callable, Iterable, Sequence

import msgspec

from ha import journal
from ha.customer_table import EMPTY, CustomerTable
from ha.effects import Effect
from ha.home_agent import HomeAgent
from ha.journal import JournalRefused, Made, Recovered
from ha.site import Policy, Topology
from runtime.counters import Counters


class Player:
    """A home agent made as a journal says.

    Args: the rules of the site and how it reaches the others, the customer table, seconds as `HomeAgent` has them.
    """

    def __init__(
        self, policy: Policy, topology: Topology, table: CustomerTable, mrai_s: float, orphan_hold_s: float
    ) -> None:
        self._policy, self._topology, self._table = policy, topology, table
        self._mrai_s, self._orphan_hold_s = mrai_s, orphan_hold_s
        self.agent: HomeAgent | None = None

    def play(self, line: str) -> Sequence[Effect]:
        """One line. Raises: JournalRefused."""
        entry, now = journal.from_line(line, self._policy.home_agent_address, self._table)
        if isinstance(entry, Made):
            self.agent = self._made(entry)
            return []
        if self.agent is None:
            raise JournalRefused("it does not begin with how the home agent was made")
        if isinstance(entry, Recovered):
            self.agent.state.restarts = entry.restarts
            self.agent.reconciled(self.agent.recover(entry.records, entry.present, now), entry.results)
            return []
        return self.agent.handle(entry, now)

    def _made(self, made: Made) -> HomeAgent:
        return HomeAgent(
            policy=self._policy,
            topology=self._topology,
            table=EMPTY,
            incarnation=made.incarnation,
            now=made.now,
            clock_offset_s=made.clock_offset_s,
            mrai_s=self._mrai_s,
            orphan_hold_s=self._orphan_hold_s,
            counters=Counters(),
        )


def replay(lines: Iterable[str], player: Player, write: Callable[[str], object]) -> None:
    """Play all lines; each effect is written as one line. Raises: JournalRefused, naming the line."""
    for number, line in enumerate(lines, start=1):
        try:
            effects = player.play(line)
        except JournalRefused as error:
            raise JournalRefused(f"line {number}: {error.why}") from error
        for effect in effects:
            write(to_text(number, effect))


def to_text(number: int, effect: Effect) -> str:
    """One effect of the event in line `number`; keys are left out."""
    fields = msgspec.to_builtins(effect, str_keys=True, enc_hook=str)
    fields.pop("association", None)
    return json.dumps({"line": number, "effect": type(effect).__name__, "fields": fields})
