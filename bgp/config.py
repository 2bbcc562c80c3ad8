"""bgp.toml: its format, its checks, its canonical form. The reader owns the format.

Owns parsing to a frozen value in full before anything is touched. Refuses unknown keys, an aggregate written twice, and
neighbours written twice. The bridge reads some of these keys itself, with the standard library only.
"""

import tomllib
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from bgp.errors import BgpError
from bgp.hold_down import DEFAULT_MAX_S
from bgp.route import MAX_COMMUNITIES, MAX_PREPEND, Prefix, is_community
from bgp.speaker import DEFAULT_ORPHAN_HOLD_S

MAX_SOCKET_PATH = 107  # sun_path without its NUL, unix(7)
MAX_MRAI_S = 120
CONTROL_SOCKET = "control-bgp.sock"
BFD_DIRECTORY = "bfd"  # below run_directory, owned by FRR's user
BRIDGE_DIRECTORY = "bridge"  # below run_directory, owned by the user of ExaBGP


def _prefix(text: str) -> str:
    ip_network(text)
    return text


def _community(text: str) -> str:
    if not is_community(text):
        raise ValueError(f"{text!r} is no BGP community: write it as 64500:1 or, large, as 64500:1:2")
    return text


class Neighbour(BaseModel):
    """One BGP neighbour, whose session stands in ExaBGP's configuration; and what it is told beyond what all are told.

    `med` wins over a route's own. `next_hop`: for prefixes of the other address family than the session's, which it is
    not told otherwise. `mrai_s`: its advertisement interval, how long it may hold back a change towards its own
    neighbours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: IPv6Address | IPv4Address
    autonomous_system: int = Field(alias="as", ge=1, lt=2**32)
    communities: tuple[Annotated[str, AfterValidator(_community)], ...] = Field(default=(), max_length=MAX_COMMUNITIES)
    prepend: int = Field(default=0, ge=0, le=MAX_PREPEND)
    med: int | None = Field(default=None, ge=0, lt=2**32)
    next_hop: IPv6Address | IPv4Address | None = None
    mrai_s: int = Field(default=0, ge=0, le=MAX_MRAI_S)


class FellowSite(BaseModel):
    """The speaker of another site, reached at its locator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    locator: IPv6Address | IPv4Address


class Fellows(BaseModel):
    """How this site's speaker and those of the other sites hear of each other; `key_file` is the same at all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    locator: IPv6Address | IPv4Address
    key_file: Path
    site: tuple[FellowSite, ...] = ()


class Config(BaseModel):
    """Everything in bgp.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance: str = Field(min_length=1)
    state_directory: Path
    run_directory: Path
    lease_socket: Path
    exabgp_configuration: Path
    aggregates: tuple[Annotated[str, AfterValidator(_prefix)], ...] = Field(min_length=1)
    user: str = "nobody"
    deaf_after_s: float = Field(default=0.5, ge=0.5, le=60)
    orphan_hold_s: float = Field(default=DEFAULT_ORPHAN_HOLD_S, ge=0, le=86400)
    hold_down_max_s: float = Field(default=DEFAULT_MAX_S, ge=0, le=3600)
    failback_s: float = Field(default=0.0, ge=0, le=86400)
    bfd_configuration: Path | None = None
    fellows: Fellows | None = None
    neighbour: tuple[Neighbour, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> "Config":
        if len(set(self.prefixes)) != len(self.aggregates):
            raise ValueError("an aggregate stands there twice")
        if len({neighbour.address for neighbour in self.neighbour}) != len(self.neighbour):
            raise ValueError("a neighbour stands there twice")
        self._check_families()
        names = [site.name for site in self.fellows.site] if self.fellows else []
        if self.instance in names or len(set(names)) != len(names):
            raise ValueError("fellows: every other site stands there once, and not this one")
        longest = max(len(str(path)) for path in (self.lease_socket, self.control_socket, self.bridge_socket))
        if longest > MAX_SOCKET_PATH:
            raise ValueError(f"a socket path of {longest} octets is too long for a Unix socket ({MAX_SOCKET_PATH})")
        return self

    def _check_families(self) -> None:
        """A neighbour is told the prefixes of its session's family, and with a `next_hop` those of the other one."""
        told: set[str] = set()
        for neighbour in self.neighbour:
            hop, family = neighbour.next_hop, neighbour.address.version
            if hop is not None and hop.version == family:
                needed = f"give an IPv{10 - family} address of ours, or leave it out"
                raise ValueError(f"next_hop {hop} of {neighbour.address} is for the other family: {needed}")
            own = {str(prefix) for prefix in self.prefixes if prefix.version == family or hop is not None}
            if not own:
                needed = f"give it next_hop, an IPv{10 - family} address of ours that it can reach"
                raise ValueError(f"no aggregate can be announced over the session with {neighbour.address}: {needed}")
            told |= own
        if untold := [str(prefix) for prefix in self.prefixes if str(prefix) not in told]:
            needed = "give a neighbour next_hop, or add one of that family"
            raise ValueError(f"{', '.join(untold)} would be announced to nobody: {needed}")

    @property
    def prefixes(self) -> tuple[Prefix, ...]:
        """The aggregates as networks."""
        return tuple(ip_network(text) for text in self.aggregates)

    @property
    def control_socket(self) -> Path:
        """Where `xsp-bgp status` asks."""
        return self.run_directory / CONTROL_SOCKET

    @property
    def bfd_directory(self) -> Path:
        """Where bfdd has its sockets."""
        return self.run_directory / BFD_DIRECTORY

    @property
    def bridge_socket(self) -> Path:
        """Where the bridge really listens, in a directory its user may write; `lease_socket` points there."""
        return self.run_directory / BRIDGE_DIRECTORY / "lease.sock"


def parse(text: str, directory: Path) -> Config:
    """Parse the text of bgp.toml; relative paths are relative to `directory`, where the file stands.

    Raises: BgpError.
    """
    try:
        document = tomllib.loads(text)
        for name in ("state_directory", "run_directory", "lease_socket", "exabgp_configuration", "bfd_configuration"):
            if isinstance(document.get(name), str):
                document[name] = directory / document[name]
        match document:
            case {"fellows": {"key_file": str(file)} as section}:
                section["key_file"] = directory / file
        return Config.model_validate(document)
    except tomllib.TOMLDecodeError as error:
        raise BgpError(f"bgp.toml is not TOML: {error}", "correct the line it names") from error
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc'])) or 'bgp.toml'}: {e['msg']}" for e in error.errors())
        raise BgpError("bgp.toml: " + "; ".join(problems), "compare it with the example in templates/") from error


def load(file: Path) -> Config:
    """Read and parse `file`.

    Raises: BgpError.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BgpError(f"{file} cannot be read: {error}", "give the right --config FILE", code=1) from error
    return parse(text, file.absolute().parent)


def show(config: Config) -> str:
    """The canonical form, as `-n -v` prints it; parsing it again gives the same value."""
    lines = [
        f"{name} = {_quoted(getattr(config, name))}"
        for name in ("instance", "state_directory", "run_directory", "lease_socket", "exabgp_configuration")
    ]
    lines.append("aggregates = [" + ", ".join(_quoted(prefix) for prefix in config.prefixes) + "]")
    lines += [f"user = {_quoted(config.user)}", f"deaf_after_s = {config.deaf_after_s}"]
    lines += [f"orphan_hold_s = {config.orphan_hold_s}", f"hold_down_max_s = {config.hold_down_max_s}"]
    lines += [f"failback_s = {config.failback_s}"]
    if config.bfd_configuration is not None:
        lines.append(f"bfd_configuration = {_quoted(config.bfd_configuration)}")
    for neighbour in config.neighbour:
        lines += ["", "[[neighbour]]", f"address = {_quoted(neighbour.address)}", f"as = {neighbour.autonomous_system}"]
        lines.append("communities = [" + ", ".join(map(_quoted, neighbour.communities)) + "]")
        lines.append(f"prepend = {neighbour.prepend}")
        lines += [f"med = {neighbour.med}"] if neighbour.med is not None else []
        lines += [f"next_hop = {_quoted(neighbour.next_hop)}"] if neighbour.next_hop is not None else []
        lines += [f"mrai_s = {neighbour.mrai_s}"] if neighbour.mrai_s else []
    if config.fellows is not None:
        lines += ["", "[fellows]", f"locator = {_quoted(config.fellows.locator)}"]
        lines.append(f"key_file = {_quoted(config.fellows.key_file)}")
        for site in config.fellows.site:
            lines += ["", "[[fellows.site]]", f"name = {_quoted(site.name)}", f"locator = {_quoted(site.locator)}"]
    return "\n".join(lines) + "\n"


def _quoted(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
