"""The one exception root of `bgp`: what is wrong, what to do about it, and the exit status it maps to.

Owns nothing else. Refuses formatted strings: the two sentences are fields.
"""


class BgpError(Exception):
    """Anything `bgp` refuses or cannot do.

    Fields: `what` is wrong, the `remedy`, and the process exit status `code` (1 refused, 3 unreachable, 4 missing).
    """

    def __init__(self, what: str, remedy: str, code: int = 1) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy
        self.code = code


class MalformedLine(BgpError):
    """A line on the lease socket that breaks the contract; `seq` is what could still be read of it."""

    def __init__(self, what: str, remedy: str, seq: int = 0) -> None:
        super().__init__(what, remedy)
        self.seq = seq


class Unanswered(BgpError):
    """The bridge did not answer; `away` if nobody is there at all, else it is deaf."""

    def __init__(self, what: str, *, away: bool) -> None:
        super().__init__(what, "see the log of xsp-bgp and of ExaBGP", code=3)
        self.away = away
