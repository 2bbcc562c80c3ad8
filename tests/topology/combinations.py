"""Which processes of a site are killed or stopped together, how long its route may stay, and whether it stayed longer.

The bounds are those of the failover table. A site serves as long as its xsp-ha lives: whatever happens to the others,
its route may then stay if packets really pass. Without a living xsp-ha the site must not be chosen any more within the
bound; and its route must be gone when the linger is over, if its speaker can hear that others announce (without such
word it stays, depreferenced, for the orphan hold: what killed this xsp-ha may have killed all). Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from signal import SIGKILL, SIGSTOP, Signals

PROCESSES = ("xsp-ha", "bridge", "exabgp", "supervisor", "bfdd", "zebra")
BOUND_S = {
    ("xsp-ha", SIGKILL): 0.45,
    ("xsp-ha", SIGSTOP): 0.45,
    ("bridge", SIGKILL): 0.2,
    ("bridge", SIGSTOP): 1.0,
    ("exabgp", SIGKILL): 0.15,
    ("exabgp", SIGSTOP): 1.0,
    ("supervisor", SIGKILL): 0.45,
    # Not in the table: alone they harm nothing, or the neighbour misses BFD (50 ms x 3) and ends the session.
    ("supervisor", SIGSTOP): 1.0,
    ("bfdd", SIGKILL): 0.3,
    ("bfdd", SIGSTOP): 0.3,
    ("zebra", SIGKILL): 0.3,
    ("zebra", SIGSTOP): 0.3,
}
LINGER_S = 1.0  # `ha.readiness.linger` without an advertisement interval
Harm = tuple[tuple[str, Signals], ...]

SINGLES: tuple[Harm, ...] = tuple(((process, number),) for process, number in product(PROCESSES, (SIGKILL, SIGSTOP)))
PAIRS: tuple[Harm, ...] = tuple(
    ((first, one), (second, other))
    for first, second in combinations(PROCESSES, 2)
    for one, other in product((SIGKILL, SIGSTOP), repeat=2)
)
# A run of all tests has time for these. BFD's processes alone: see the pairs.
FEW = tuple(harm for harm in SINGLES if harm[0][0] not in ("bfdd", "zebra"))
# Each pair of those once that could hold a route (xsp-ha and bridge twice: a bridge that died has an heir at once, a
# deaf one later), and BFD's with who should let go of it; every process with either signal.
COVERING: tuple[Harm, ...] = (
    (("xsp-ha", SIGKILL), ("bridge", SIGKILL)),
    (("xsp-ha", SIGKILL), ("bridge", SIGSTOP)),
    (("xsp-ha", SIGSTOP), ("exabgp", SIGSTOP)),
    (("xsp-ha", SIGSTOP), ("supervisor", SIGKILL)),
    (("bridge", SIGKILL), ("exabgp", SIGSTOP)),
    (("bridge", SIGSTOP), ("supervisor", SIGSTOP)),
    (("exabgp", SIGKILL), ("supervisor", SIGSTOP)),
    (("xsp-ha", SIGKILL), ("bfdd", SIGSTOP)),
    (("exabgp", SIGSTOP), ("bfdd", SIGKILL)),
    (("xsp-ha", SIGSTOP), ("zebra", SIGKILL)),
    (("supervisor", SIGKILL), ("zebra", SIGSTOP)),
)


@dataclass(frozen=True, slots=True)
class Look:
    """What the ISP's RIB said `after_s` the event: is the site chosen, is there any way through it."""

    after_s: float
    chosen: bool
    offered: bool


def name(harm: Harm) -> str:
    """For people."""
    return " and ".join(f"{number.name} {process}" for process, number in harm)


def bound_s(harm: Harm) -> float:
    """The larger of the bounds."""
    return max(BOUND_S[one] for one in harm)


def must_go(harm: Harm) -> bool:
    """Whether this leaves a site that does not serve."""
    return any(process == "xsp-ha" for process, _ in harm)


def can_hear(harm: Harm) -> bool:
    """Whether word of other sites still reaches the speaker: a stopped supervisor passes none on."""
    return ("supervisor", SIGSTOP) not in harm


def complaint(harm: Harm, looks: Sequence[Look], served: bool, relaxed: float, withdraws: bool = True) -> str:
    """What is wrong, empty if nothing. `served`: probes passed through the site when the last look was taken.

    `withdraws`: the site's speaker hears of the others.
    """
    allowed_s = relaxed * bound_s(harm)
    if not must_go(harm):
        gone = any(not look.chosen for look in looks if look.after_s <= allowed_s)
        return "" if gone or served else f"announced for {allowed_s:.2f} s although nothing passes"
    left = [look.after_s for look in looks if not look.chosen]
    if not left or left[0] > allowed_s:
        return f"still chosen after {allowed_s:.2f} s"
    if any(look.chosen for look in looks if look.after_s > allowed_s):
        return "chosen again"
    gone_by_s = relaxed * (bound_s(harm) + LINGER_S)
    return f"still announced after {gone_by_s:.2f} s" if withdraws and looks[-1].offered else ""
