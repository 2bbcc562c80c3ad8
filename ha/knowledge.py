"""Whether this site knows what the others know, and its kernel too: when it starts, and after it was cut off. Pure.

Who announces without that draws packets of customers whom it does not know. A start asks BGP for nothing until it is
over. Later a site that heard no majority, or stood still, asks every peer again as if it had just connected; the end
of what they tell comes behind all that was on its way. Until then, and until the kernel has it, others are better.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AnySet

from ha.readiness import PEER_LOST_S, PeerSeen
from ha.replication import Peer
from ha.undo import Undo

SYNC_GRACE_S = 5.0  # a peer that is not heard by then is not waited for at start
SYNC_MAX_S = 60.0  # ... nor by then one that lives and does not finish
REFUSED_MAX_S = 10.0  # so long the kernel may refuse what it should take at first; it is asked every second


class Knowledge:
    """What is waited for. Times are monotonic seconds.

    `synced`: the first synchronisation is done or was given up; `started`: and what was known by then was in the
    kernel; `behind`: others may know what was not heard here.
    """

    def __init__(self) -> None:
        self.synced = self.started = self.behind = False
        self._awaited: Sequence[bytes] = ()  # whom the kernel did not have when the waiting for others ended last, ...
        self._arrived = 0  # ... and how many of them, from the first, it has had since
        self._awaited_since = -math.inf
        self._able_since: float | None = None
        self._isolated = False
        self._looked_at = math.inf

    @property
    def installed(self) -> bool:
        """The kernel has had all that was known when the waiting for others ended last."""
        return self._arrived == len(self._awaited)

    def able(self, now: float, undo: Undo) -> None:
        """From now on peers can be heard: reading a large table and comparing it with the kernel takes longer than any
        peer is waited for.
        """
        if self._able_since is None:
            undo.assign(self, "_able_since", now)

    def lost_touch(self, isolated: bool, now: float) -> bool:
        """True once when a site that heard no majority hears one, or when it stood still: all peers are to be asked
        again. A peer that is lost and comes back alone asks by itself, and we serve meanwhile.
        """
        return self.synced and not isolated and (self._isolated or self._stood_still(now))

    def look(
        self,
        peers: Iterable[Peer],
        seen: Mapping[str, PeerSeen | None],
        isolated: bool,
        pending: AnySet[bytes],
        refused: AnySet[bytes],
        now: float,
        undo: Undo,
    ) -> None:
        """Every tick. `pending`: whose order the kernel has not carried out; `refused`: whose it will be asked again.

        Peers tell of customers faster than a kernel takes them. Who changes after the waiting for them began is not
        waited for, or a busy site would never be through.
        """
        peers = list(peers)
        owing = _owing(peers, seen, now)
        if not self.synced:
            if self._first_heard(peers, seen, now):
                undo.assign(self, "synced", True)
                undo.assign(self, "behind", isolated or owing)
                self._await(pending, refused, now, undo)
        elif isolated or self._stood_still(now):
            undo.assign(self, "behind", True)
        elif self.behind and not owing:
            undo.assign(self, "behind", False)
            self._await(pending, refused, now, undo)
        self._see_what_arrived(pending, refused, now, undo)
        if self.synced and self.installed:
            undo.assign(self, "started", True)
        undo.assign(self, "_isolated", isolated)
        undo.assign(self, "_looked_at", now)

    def _first_heard(self, peers: Iterable[Peer], seen: Mapping[str, PeerSeen | None], now: float) -> bool:
        """The first synchronisation with every peer is done, or to be given up.

        A peer of which we have all may not have said HELLO yet: until then we would count as isolated.
        """
        if self._able_since is None:
            return False
        waited_s = now - self._able_since
        if waited_s <= SYNC_GRACE_S:
            return all(peer.complete and seen[peer.site] is not None for peer in peers)
        return waited_s > SYNC_MAX_S or not _owing(peers, seen, now)

    def _await(self, pending: AnySet[bytes], refused: AnySet[bytes], now: float, undo: Undo) -> None:
        undo.assign(self, "_awaited", (*pending, *refused))
        undo.assign(self, "_arrived", 0)
        undo.assign(self, "_awaited_since", now)

    def _see_what_arrived(self, pending: AnySet[bytes], refused: AnySet[bytes], now: float, undo: Undo) -> None:
        """Each is looked at until it is there for once, the oldest order first: with 100,000 that is cheap."""
        arrived, awaited = self._arrived, self._awaited
        is_patient = now - self._awaited_since <= REFUSED_MAX_S
        while arrived < len(awaited) and not (
            awaited[arrived] in pending or (is_patient and awaited[arrived] in refused)
        ):
            arrived += 1
        undo.assign(self, "_arrived", arrived)

    def _stood_still(self, now: float) -> bool:
        return now - self._looked_at > PEER_LOST_S


def _owing(peers: Iterable[Peer], seen: Mapping[str, PeerSeen | None], now: float) -> bool:
    """Does a peer live that has not told all yet?"""
    heard = [seen[peer.site] for peer in peers if peer.asked or not peer.complete]
    return any(one is not None and now - one.heard_at < PEER_LOST_S for one in heard)
