"""What a home agent knows of its own site and may never accept as a care-of address. Values only."""

from dataclasses import dataclass
from functools import lru_cache

from ha.prefix import Prefix, contains
from mip6.quick import quick

NO_KEY = b""


@quick
@dataclass(frozen=True, slots=True)
class HomePrefix:
    """A prefix of home addresses and until when it lives, Unix seconds; None: for ever (RFC 4861 4.6.2)."""

    prefix: Prefix
    preferred_until: float | None = None
    valid_until: float | None = None

    def preferred_s(self, unix_s: float) -> int | None:
        """Preferred lifetime left, in whole seconds; None: for ever."""
        return _left_s(self.preferred_until, unix_s)

    def valid_s(self, unix_s: float) -> int | None:
        """Valid lifetime left, in whole seconds; None: for ever."""
        return _left_s(self.valid_until, unix_s)


def _left_s(until: float | None, unix_s: float) -> int | None:
    return None if until is None else max(0, int(until - unix_s))


_for_ever = lru_cache(64)(HomePrefix)  # asked for every Binding Update; a site has few aggregates


@dataclass(frozen=True, slots=True)
class Topology:
    """How this site reaches the others of its set.

    `peers`: those it has streams with; `reflectors`: those of them that pass on what it says, as route reflectors do
    (RFC 4456); `beyond`: those that it hears by way of reflectors only; `reflects`: it is a reflector itself. A full
    mesh is peers alone.
    """

    peers: tuple[str, ...] = ()
    reflectors: frozenset[str] = frozenset()
    beyond: tuple[str, ...] = ()
    reflects: bool = False

    @property
    def sites(self) -> tuple[str, ...]:
        """All other sites."""
        return (*self.peers, *self.beyond)


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of this site, from its configuration.

    Lifetimes in seconds; `replay_window_s` is the window of RFC 4285 6; limits are per mobile router. `cookie_key` is
    the secret of the care-of test, the same at all sites. `slice_records`: so many are sent at a time to a site that
    catches up. `refresh_advice_s`: see RFC 6275 6.2.4; None, for bindings are kept on disk. `unknown_max`: a record of
    somebody whom our table does not name is kept as long as there are no more records than customers and this.
    """

    site: str
    home_agent_address: bytes
    aggregates: tuple[Prefix, ...]
    locators: frozenset[bytes]
    lifetime_min_s: int = 10
    lifetime_max_s: int = 300
    replay_window_s: float = 7.0
    clock_skew_s: float = 2.0
    bids_max: int = 8
    prefixes_max: int = 16
    acknowledge: str = "any"
    cookie_key: bytes = NO_KEY
    refresh_advice_s: int | None = None
    home_prefixes: tuple[HomePrefix, ...] = ()
    slice_records: int = 200
    unknown_max: int = 10_000

    def home_prefix(self, home_address: bytes) -> HomePrefix | None:
        """The home prefix that an address lies in: a configured one, else an aggregate; None: not ours."""
        for one in self.home_prefixes:
            if contains(one.prefix, home_address):
                return one
        for aggregate in self.aggregates:
            if contains(aggregate, home_address):
                return _for_ever(aggregate)
        return None
