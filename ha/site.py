"""What a home agent knows of its own site and may never accept as a care-of address. Values only."""

from dataclasses import dataclass

from ha.prefix import Prefix


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of this site, from its configuration.

    Lifetimes in seconds; `replay_window_s` is the window of RFC 4285 6; limits are per mobile router.
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
