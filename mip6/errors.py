"""What can be wrong with octets from the network: one exception with fields; no other leaves the folder."""


class MalformedMessage(Exception):
    """Octets that are no usable mobility header, or no usable header around one.

    Fields: `reason`, a short stable slug for counters; `pointer`, where an ICMPv6 Parameter Problem code 0 should point
    (offset from the start of the mobility header), or None for silence (RFC 6275 9.2).
    """

    def __init__(self, reason: str, pointer: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pointer = pointer


class MalformedFlow(MalformedMessage):
    """A flow option that stands well in its message and is to be answered with `status` (RFC 6089 4.2)."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status
