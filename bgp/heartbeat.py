"""What ExaBGP is asked when there is nothing to tell it, and when. Pure.

Owns the rhythm: a deaf ExaBGP must be noticed, and its routes be gone, within a second; what it has and who is
connected is asked for now and then, and at once when there is news of either.
"""

from bgp.events import AskNeighbours, AskRoutes, AskVersion

HEARTBEAT_S = 0.1
DESCRIBE_EVERY = 50  # of so many heartbeats one asks for the sessions, and one for the RIB

Question = AskNeighbours | AskRoutes | AskVersion


class Heartbeat:
    """`due_at`: when the next question is due, in monotonic seconds."""

    def __init__(self, now: float) -> None:
        self.due_at = now
        self._beats = 0
        self._news: list[Question] = []

    def answered(self, now: float) -> None:
        """ExaBGP answered something: it is alive for one beat."""
        self.due_at = now + HEARTBEAT_S

    def route_confirmed(self) -> None:
        """The next question is for the RIB; what was to be asked besides still is."""
        self._news = [AskRoutes(), *(one for one in self._news if one != AskRoutes())]

    def session_established(self) -> None:
        """The next questions are what is sent in it, and what both ends agreed on."""
        self._news = [AskRoutes(), AskNeighbours()]

    def question(self) -> Question:
        """The next one."""
        if self._news:
            return self._news.pop(0)
        self._beats = (self._beats + 1) % DESCRIBE_EVERY
        if self._beats == 0:
            return AskRoutes()
        return AskNeighbours() if self._beats == DESCRIBE_EVERY // 2 else AskVersion()
