"""A revocation under way: what was told to the mobile router, and when to tell it again (RFC 5846 7, 10). Values."""

from dataclasses import dataclass, replace

FIRST_WAIT_S = 1.0  # RFC 5846 10, InitMINDelayBRIs
RETRIES = 1  # RFC 5846 10, BRIMaxRetriesNumber


@dataclass(frozen=True, slots=True)
class Revocation:
    """A Binding Revocation Indication that waits for its acknowledgement.

    `care_ofs`: where the router was heard, one after the other; `bids`: empty means everything; `message_id`: the
    Mesg-ID that the acknowledgement copies; `repeat_at`: monotonic seconds.
    """

    home_address: bytes
    sequence: int
    trigger: int
    care_ofs: tuple[bytes, ...]
    bids: tuple[int, ...]
    message_id: int
    repeat_at: float
    wait_s: float = FIRST_WAIT_S
    sent: int = 1

    def repeated(self, now: float) -> "Revocation | None":
        """After sending it once more, from the next care-of address on; None if it was sent often enough."""
        if self.sent > RETRIES:
            return None
        turned = self.care_ofs[1:] + self.care_ofs[:1]
        wait_s = 2 * self.wait_s
        return replace(self, care_ofs=turned, repeat_at=now + wait_s, wait_s=wait_s, sent=self.sent + 1)
