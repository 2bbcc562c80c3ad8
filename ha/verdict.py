"""A Binding Update under judgement, and the three ways it can end. Values only."""

from dataclasses import dataclass, field

from ha.customer_table import Customer
from ha.prefix import Prefix
from ha.record import Binding, Record
from ha.site import HomePrefix, Policy
from mip6 import auth, ntp
from mip6.messages import BindingUpdate
from mip6.numbers import AuthenticationSubtype, BindingUpdateFlag, Status
from mip6.options import (
    AlternateCareOf,
    Authentication,
    BindingIdentifier,
    MalformedBindingIdentifier,
    MessageIdentification,
    MobileNetworkPrefix,
    MobileNodeIdentifier,
)
from mip6.quick import quick

MOBILE_ROUTER = int(BindingUpdateFlag.MOBILE_ROUTER)
MN_HA = int(AuthenticationSubtype.MN_HA)


@dataclass(slots=True)
class Case:
    """One Binding Update and all that is known when it is judged. Nobody changes one.

    `octets` is the mobility header as received; `source` the wire source; `home_address` the Home Address option's,
    or None; `now` monotonic seconds; `clock` the site's NTP timestamp; `record` what the site holds, or None;
    `exhausted`: this router has used up its share of updates.

    What the rules ask for more than once is worked out here, in one pass over the options: `home`, the home address
    this is about, is the Home Address option's, else the source (RFC 6275 9.5.1); `flags` is a plain number;
    `mn_ha` the MN-HA authentication option (RFC 4285 5.1), `association` the key that it names by its SPI, if the
    customer has it and it is good now; `bids` the Binding Identifier options that can be read; `prefixes` those of
    all MNP options.
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

    home: bytes = field(init=False)
    flags: int = field(init=False)
    is_mobile_router: bool = field(init=False)  # RFC 3963 4.1, the R flag
    bids: list[BindingIdentifier] = field(init=False)
    has_malformed_bid: bool = field(init=False)
    prefixes: list[Prefix] = field(init=False)
    alternate: AlternateCareOf | None = field(init=False)
    identifier: MobileNodeIdentifier | None = field(init=False)
    message_id: MessageIdentification | None = field(init=False)
    mn_ha: Authentication | None = field(init=False)
    association: auth.SecurityAssociation | None = field(init=False)
    _live: dict[int, Binding] | None = field(init=False)
    _home_prefix: HomePrefix | None = field(init=False)

    def __post_init__(self) -> None:
        self.home = self.home_address if self.home_address is not None else self.source
        self.flags = int(self.update.flags)
        self.is_mobile_router = self.flags & MOBILE_ROUTER != 0
        self.bids, self.has_malformed_bid, self.prefixes = [], False, []
        self.alternate = self.identifier = self.message_id = self.mn_ha = None
        self.association = self._live = self._home_prefix = None
        for option in self.update.options:
            if isinstance(option, BindingIdentifier):
                self.bids.append(option)
            elif isinstance(option, MessageIdentification):
                self.message_id = self.message_id or option
            elif isinstance(option, MobileNodeIdentifier):
                self.identifier = self.identifier or option
            elif isinstance(option, Authentication):
                if option.subtype == MN_HA and self.mn_ha is None:
                    self.mn_ha = option
            elif isinstance(option, MobileNetworkPrefix):
                self.prefixes.append(option.prefix)
            elif isinstance(option, AlternateCareOf):
                self.alternate = self.alternate or option
            elif isinstance(option, MalformedBindingIdentifier):
                self.has_malformed_bid = True
        if self.mn_ha and self.customer:
            self.association = self.customer.association(self.mn_ha.spi, ntp.to_unix(self.clock))

    @property
    def rights(self) -> Customer:
        """The customer, once the rule `home_address_unknown` has passed."""
        assert self.customer is not None
        return self.customer

    @property
    def named_prefixes(self) -> tuple[Prefix, ...]:
        """The MNP options; ignored when deleting and without the R flag (RFC 3963 6.2)."""
        if not self.prefixes or self.update.lifetime_s == 0 or not self.is_mobile_router:
            return ()
        return tuple((network, length) for network, length in self.prefixes)

    @property
    def plain_care_of(self) -> bytes:
        """The care-of address of a BU without BID option: the Alternate CoA, else the source (RFC 6275 9.5.1)."""
        return self.alternate.care_of if self.alternate else self.source

    def home_prefix(self) -> HomePrefix | None:
        """The home prefix that the home address lies in; None: not ours."""
        if self._home_prefix is None:
            self._home_prefix = self.policy.home_prefix(self.home)
        return self._home_prefix

    def live(self) -> dict[int, Binding]:
        """The bindings in force."""
        if self._live is None:
            self._live = self.record.live(self.now) if self.record else {}
        return self._live


@quick
@dataclass(frozen=True, slots=True)
class Discarded:
    """No answer of any kind; counted by `reason`."""

    reason: str


@quick
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


@quick
@dataclass(frozen=True, slots=True)
class Accepted:
    """The record as it becomes, and what the acknowledgement says. `lifetime_s` granted; `bids`: status per BID."""

    record: Record
    status: Status
    lifetime_s: int
    bids: tuple[tuple[int, int], ...]


Verdict = Discarded | Refused | Accepted
