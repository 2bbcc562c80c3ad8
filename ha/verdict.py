"""A Binding Update under judgement, and the three ways it can end. Values only."""

from dataclasses import dataclass

from ha.customer_table import Customer
from ha.prefix import Prefix
from ha.record import Binding, Record
from ha.site import Policy
from mip6 import auth, ntp
from mip6.messages import BindingUpdate
from mip6.numbers import AuthenticationSubtype, BindingUpdateFlag, Status
from mip6.options import AlternateCareOf, Authentication, MobileNetworkPrefix


@dataclass(frozen=True, slots=True)
class Case:
    """One Binding Update and all that is known when it is judged.

    `octets` is the mobility header as received; `source` the wire source; `home_address` the Home Address option's,
    or None; `now` monotonic seconds; `clock` the site's NTP timestamp; `record` what the site holds, or None;
    `exhausted`: this router has used up its share of updates.
    """

    update: BindingUpdate
    octets: bytes
    source: bytes
    home_address: bytes | None
    customer: Customer | None
    record: Record | None
    policy: Policy
    now: float
    clock: int
    exhausted: bool = False

    @property
    def home(self) -> bytes:
        """The home address this is about: the Home Address option's, else the source (RFC 6275 9.5.1)."""
        return self.home_address if self.home_address is not None else self.source

    @property
    def rights(self) -> Customer:
        """The customer, once the rule `home_address_unknown` has passed."""
        assert self.customer is not None
        return self.customer

    def association(self) -> auth.SecurityAssociation | None:
        """The key that the update names by its SPI, if the customer has it and it is good now."""
        option = self.mn_ha()
        return self.customer.association(option.spi, ntp.to_unix(self.clock)) if option and self.customer else None

    @property
    def is_mobile_router(self) -> bool:
        """The R flag (RFC 3963 4.1)."""
        return bool(self.update.flags & BindingUpdateFlag.MOBILE_ROUTER)

    @property
    def named_prefixes(self) -> tuple[Prefix, ...]:
        """The MNP options; ignored when deleting and without the R flag (RFC 3963 6.2)."""
        if self.update.lifetime_s == 0 or not self.is_mobile_router:
            return ()
        return tuple((option.prefix[0], option.prefix[1]) for option in self.update.all(MobileNetworkPrefix))

    @property
    def plain_care_of(self) -> bytes:
        """The care-of address of a BU without BID option: the Alternate CoA, else the source (RFC 6275 9.5.1)."""
        alternate = self.update.first(AlternateCareOf)
        return alternate.care_of if alternate else self.source

    def mn_ha(self) -> Authentication | None:
        """The MN-HA authentication option (RFC 4285 5.1)."""
        for option in self.update.all(Authentication):
            if option.subtype == AuthenticationSubtype.MN_HA:
                return option
        return None

    def live(self) -> dict[int, Binding]:
        """The bindings in force."""
        return self.record.live(self.now) if self.record else {}


@dataclass(frozen=True, slots=True)
class Discarded:
    """No answer of any kind; counted by `reason`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Answered with `status` >= 128 and nothing changed. `sequence`: the last accepted one (135); `bids`.

    Status per BID.
    """

    status: Status
    reason: str
    sequence: int | None = None
    bids: tuple[tuple[int, int], ...] = ()
    stranger: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """The record as it becomes, and what the acknowledgement says. `lifetime_s` granted; `bids`: status per BID."""

    record: Record
    status: Status
    lifetime_s: int
    bids: tuple[tuple[int, int], ...]


Verdict = Discarded | Refused | Accepted
