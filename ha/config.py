"""The home agent's configuration: TOML -> one frozen, checked value. The reader owns the format.

Parsed in full before anything is touched. Refuses unknown keys, addresses of the wrong kind and contradictions, each
with the key's name (`ConfigRefused`).
"""

import base64
import tomllib
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from dataplane.driver import Driver
from dataplane.tunnel_errors import LEAST_LINE_MTU
from ha.site import HomePrefix, Policy, Topology

Network = Annotated[IPv6Network | IPv4Network, BeforeValidator(ip_network)]  # so the complaint names the key
LIFETIME_MAX_S = 86400
REFLECTED_MAX = 1_000_000  # records: ten times the customers that a site is made for
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]  # as long as frames carry
Milliseconds = Annotated[int, Field(ge=0)]


class ConfigRefused(Exception):
    """A configuration that cannot be used. Fields: `path`, `why` (one sentence naming the key)."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Egress(_Section):
    """A static default route by which this site reaches the Internet."""

    gateway: IPv6Address
    interface: Annotated[str, Field(min_length=1, max_length=15)]


class PeerSite(_Section):
    """Another site of the set. `reflector`: it passes on what we say to the others, and what they say to us.

    `beyond`: there are no streams to its locator; what it says comes by way of a reflector.
    """

    site: Name
    locator: IPv6Address
    reflector: bool = False
    beyond: bool = False


class Tls(_Section):
    """By what this site proves its name to its peers, and what they are checked with: PEM files of `xsp render`."""

    authority: Path
    certificate: Path
    key: Path
    revoked: Path


class AnnouncedRoute(_Section):
    """A prefix to announce, one of the aggregates."""

    prefix: Network
    communities: tuple[str, ...] = ()
    med: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    prepend: Annotated[int, Field(ge=0, le=10)] = 0


class Bgp(_Section):
    """The lease and what is asked of it. `mrai_s`: the largest advertisement interval of the neighbours, seconds."""

    lease_socket: Path
    mrai_s: Annotated[float, Field(ge=0)] = 0
    orphan_hold_s: Annotated[float, Field(ge=1)] = 300
    route: tuple[AnnouncedRoute, ...] = ()


class HomePrefixTimes(_Section):
    """A prefix of home addresses whose time is limited (RFC 6275 10.6); without a time: for ever."""

    prefix: IPv6Network
    preferred_until: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None


class Limits(_Section):
    """Mobility headers a second that reach the daemon at all, whoever sends them; the rest is dropped by the kernel."""

    from_a_48: Annotated[int, Field(ge=1)] = 1000
    in_all: Annotated[int, Field(ge=1)] = 20000


class Load(_Section):
    """When this site is busy: above 80 % of `capacity_mbit_s` its path is announced `prepend` longer; 0: never."""

    capacity_mbit_s: Annotated[float, Field(ge=0)] = 0
    prepend: Annotated[int, Field(ge=1, le=10)] = 2


class Forwarding(_Section):
    """`closed`: where nothing may go that comes out of a tunnel, besides the locators of all sites.

    `clamp_mss`: tell TCP to make its segments fit a tunnel over lines of `line_mtu` octets. `memory_reserve_mb`:
    customers who are not in yet are refused (130) when less of the machine's memory is left.
    """

    closed: tuple[Network, ...] = ()
    clamp_mss: bool = False
    line_mtu: Annotated[int, Field(ge=LEAST_LINE_MTU, le=9000)] = 1500
    memory_reserve_mb: Annotated[int, Field(ge=0)] = 50


class Member(_Section):
    """What every member of a set of home agents is told. All run-time paths derive from the directories."""

    instance: Name
    state_directory: Path
    run_directory: Path
    locator: IPv6Address
    peer: tuple[PeerSite, ...] = ()
    transport: Literal["tls", "plain"] = "tls"
    tls: Tls | None = None

    @model_validator(mode="after")
    def _proved(self) -> "Member":
        names = [peer.site for peer in self.peer]
        if self.instance in names or len(set(names)) != len(names):
            raise ValueError("peer: every site is named once and not this one")
        if self.peer and self.transport == "tls" and self.tls is None:
            remedy = f"run 'xsp site issue-certificate {self.instance}' and 'xsp render', or set transport = \"plain\""
            raise ValueError(f"tls: home agents talk to each other in TLS, and no certificate is named; {remedy}")
        if self.transport == "plain" and self.tls is not None:
            raise ValueError("transport: it is plain, so nothing is proved by [tls]; remove one of them")
        return self

    @property
    def reflects(self) -> bool:
        """Whether it passes on what its peers say."""
        return False

    @property
    def topology(self) -> Topology:
        """How the other sites are reached."""
        return Topology(
            peers=tuple(peer.site for peer in self.peer if not peer.beyond),
            reflectors=frozenset(peer.site for peer in self.peer if peer.reflector),
            beyond=tuple(peer.site for peer in self.peer if peer.beyond),
            reflects=self.reflects,
        )

    @property
    def control_socket(self) -> Path:
        """Where `xsp-ha status` finds the daemon."""
        return self.run_directory / "control-ha.sock"


class Reflector(Member):
    """A reflector that is no home agent."""

    reflector: Literal["only"]

    @model_validator(mode="after")
    def _knows_all(self) -> "Reflector":
        if any(peer.beyond for peer in self.peer):
            raise ValueError("peer: a reflector has streams with all sites, so none of them is beyond another one")
        return self

    @property
    def reflects(self) -> bool:
        """That is what it is for."""
        return True

    def policy(self) -> Policy:
        """It judges nothing, knows no customer, and cuts no lifetime that any site may have granted."""
        no_address, nobody = bytes(16), frozenset[bytes]()
        return Policy(self.instance, no_address, (), nobody, lifetime_max_s=LIFETIME_MAX_S, unknown_max=REFLECTED_MAX)


class Config(Member):
    """Everything a home agent is told. Lifetimes in seconds."""

    customer_table: Path
    table_public_key: str
    set: str = "default"
    home_agent_address: IPv6Address
    aggregates: Annotated[tuple[Network, ...], Field(min_length=1)]
    acknowledge: Literal["local", "any", "all"] = "any"
    lifetime_max_s: Annotated[int, Field(ge=10, le=LIFETIME_MAX_S)] = 300
    bids_max: Annotated[int, Field(ge=1, le=64)] = 8
    refresh_advice_s: Annotated[int, Field(ge=4, le=86400, multiple_of=4)] | None = None
    cookie_key_file: Path | None = None
    driver: Driver | None = None
    limits: Limits = Limits()
    load: Load = Load()
    forwarding: Forwarding = Forwarding()
    home_prefix: tuple[HomePrefixTimes, ...] = ()
    egress: Annotated[tuple[Egress, ...], Field(min_length=1)]
    reflector: Literal["no", "also"] = "no"
    bgp: Bgp

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        if not any(self.home_agent_address in aggregate for aggregate in self.aggregates):
            raise ValueError("home_agent_address lies in none of the aggregates")
        if any(self.locator in aggregate for aggregate in self.aggregates):
            raise ValueError("locator lies inside an aggregate: it must be the hosting ISP's address")
        if any(peer.beyond for peer in self.peer) and not any(peer.reflector for peer in self.peer):
            raise ValueError("peer: sites are beyond a reflector, and no peer is one")
        if any(peer.beyond and (peer.reflector or self.reflects) for peer in self.peer):
            raise ValueError("peer: reflectors have streams with all sites, so none of them is beyond another one")
        foreign = [str(one.prefix) for one in self.home_prefix if not self._is_inside(one.prefix)]
        if foreign:
            raise ValueError(f"home_prefix: {', '.join(foreign)} lies in none of the aggregates")
        strays = [str(route.prefix) for route in self.bgp.route if route.prefix not in self.aggregates]
        if strays:
            raise ValueError(f"bgp.route: {', '.join(strays)} is no aggregate; nothing longer ever leaves a home agent")
        if len(self.public_key_octets()) != 32:
            raise ValueError("table_public_key is not a raw Ed25519 key of 32 octets in base64")
        return self

    @property
    def reflects(self) -> bool:
        """Whether it passes on what its peers say."""
        return self.reflector == "also"

    def _is_inside(self, prefix: IPv6Network) -> bool:
        return any(prefix.subnet_of(one) for one in self.aggregates if isinstance(one, IPv6Network))

    def public_key_octets(self) -> bytes:
        """The office's raw Ed25519 public key."""
        return base64.b64decode(self.table_public_key, validate=True)

    def policy(self, cookie_key: bytes) -> Policy:
        """The part that the pure core judges by."""
        locators = [self.locator, *(peer.locator for peer in self.peer)]
        return Policy(
            site=self.instance,
            home_agent_address=self.home_agent_address.packed,
            aggregates=tuple(
                (prefix.network_address.packed, prefix.prefixlen) for prefix in self.aggregates if prefix.version == 6
            ),
            locators=frozenset(locator.packed for locator in locators),
            lifetime_max_s=self.lifetime_max_s,
            bids_max=self.bids_max,
            acknowledge=self.acknowledge,
            cookie_key=cookie_key,
            refresh_advice_s=self.refresh_advice_s,
            home_prefixes=tuple(
                HomePrefix(
                    (one.prefix.network_address.packed, one.prefix.prefixlen),
                    None if one.preferred_until is None else one.preferred_until.timestamp(),
                    None if one.valid_until is None else one.valid_until.timestamp(),
                )
                for one in self.home_prefix
            ),
        )


def load(path: Path) -> Config | Reflector:
    """Read and check a configuration file: of a home agent, or of a reflector alone. Raises: ConfigRefused."""
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigRefused(path, f"cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigRefused(path, f"is not TOML ({error})") from error
    try:
        return Reflector(**values) if values.get("reflector") == "only" else Config(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigRefused(path, f"{where}: {first['msg'].removeprefix('Value error, ')}") from error
