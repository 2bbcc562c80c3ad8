"""mr.toml: the configuration of one mobile router, parsed to a frozen value in full before anything is touched.

Owns the format, its checks and the canonical form that `-n -v` prints. Reads no file: secrets are named by path and
read by the daemon. Every complaint names the file, the key and what to do.
"""

import tomllib
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from dataplane.driver import Driver
from dataplane.entry import Prefix
from dataplane.tunnel_errors import LEAST_LINE_MTU
from mr.settings import LineSettings, Settings

Network = Annotated[IPv6Network | IPv4Network, BeforeValidator(ip_network)]  # so the complaint names the key
InterfaceName = Annotated[str, Field(min_length=1, max_length=15, pattern=r"^[^/\s]+$")]  # linux IFNAMSIZ - 1


class ConfigurationError(Exception):
    """A configuration that cannot be used. Fields: `file`, `key` (empty for the whole file), `problem`, `remedy`."""

    def __init__(self, file: Path, key: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {key}: {problem}")
        self.file = file
        self.key = key
        self.problem = problem
        self.remedy = remedy

    @property
    def what(self) -> str:
        """One sentence for an operator."""
        return f"{self.file}: {self.key}: {self.problem}" if self.key else f"{self.file}: {self.problem}"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Key(_Frozen):
    """The MN-HA security association. RFC 4285 5: SPI 0 to 255 are reserved."""

    spi: Annotated[int, Field(ge=256, le=0xFFFFFFFF)]
    algorithm: Literal["hmac-sha256-128", "hmac-sha1-96"] = "hmac-sha256-128"
    secret_file: Path


class UplinkConfiguration(_Frozen):
    """One line. RFC 5648 4.3: BID 0 is reserved, and each BID has a route table of its own. RFC 6089 4.1: 7 bits."""

    bid: Annotated[int, Field(ge=1, le=899)]
    name: Annotated[str, Field(min_length=1, max_length=64)]
    interface: InterfaceName
    weight: Annotated[int, Field(ge=1, le=255)] = 1
    priority: Annotated[int, Field(ge=0, le=127)] = 0
    gateway: IPv6Address | None = None


class Configuration(_Frozen):
    """The whole file."""

    instance: Annotated[str, Field(min_length=1, max_length=64)]
    state_directory: Path
    run_directory: Path
    home_address: IPv6Address
    # Usually one, which all sites share (anycast). Of several the first is tried first, the next when it is of no use.
    home_agents: Annotated[tuple[IPv6Address, ...], Field(min_length=1, max_length=8)]
    prefixes: Annotated[tuple[Network, ...], Field(min_length=1, max_length=16)]
    registration: Literal["implicit", "explicit"] = "implicit"
    lifetime_s: Annotated[int, Field(ge=12, le=86400, multiple_of=4)] = 300
    mn_identifier: Annotated[str, Field(min_length=1, max_length=200)]
    lan_interface: InterfaceName | None = None
    clamp_mss: bool = True
    line_mtu: Annotated[int, Field(ge=LEAST_LINE_MTU, le=9000)] = 1500
    driver: Driver | None = None
    key: Key
    uplink: Annotated[tuple[UplinkConfiguration, ...], Field(min_length=1, max_length=8)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("bid", "name", "interface"):
            values = [getattr(uplink, name) for uplink in self.uplink]
            if len(set(values)) != len(values):
                raise ValueError(f"two uplinks have the same {name}")
        if self.lan_interface in [uplink.interface for uplink in self.uplink]:
            raise ValueError("lan_interface is also the interface of an uplink")
        if self.home_address in self.home_agents:
            raise ValueError("home_address is the home agent's address")
        return self

    @property
    def control_socket(self) -> Path:
        """Where the running daemon listens for `status`."""
        return self.run_directory / "control-mr.sock"

    @property
    def timestamp_file(self) -> Path:
        """Where the last Mesg-ID timestamp is kept."""
        return self.state_directory / "last-timestamp"

    def network_prefixes(self) -> tuple[Prefix, ...]:
        """The mobile network prefixes as the packet path knows them."""
        return tuple(Prefix(prefix.network_address.packed, prefix.prefixlen) for prefix in self.prefixes)

    def settings(self) -> Settings:
        """What the pure part needs to know."""
        lines = tuple(
            LineSettings(
                uplink.bid,
                uplink.name,
                uplink.interface,
                uplink.weight,
                uplink.priority,
                None if uplink.gateway is None else uplink.gateway.packed,
            )
            for uplink in sorted(self.uplink, key=lambda uplink: uplink.bid)
        )
        return Settings(
            home_address=self.home_address.packed,
            home_agent=self.home_agents[0].packed,
            home_agents=tuple(address.packed for address in self.home_agents),
            prefixes=self.network_prefixes(),
            explicit=self.registration == "explicit",
            lifetime_s=self.lifetime_s,
            mn_identifier=self.mn_identifier.encode(),
            lines=lines,
        )


def parse(text: str, file: Path) -> Configuration:
    """Parse the text of `file`; relative paths in it are meant from its directory.

    Raises: ConfigurationError.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(file, "", f"not TOML: {error}", "Correct the syntax at the place named") from error
    try:
        configuration = Configuration.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = _dotted(first["loc"])
        raise ConfigurationError(file, key, _problem(first), _remedy(first["type"], key)) from error
    directory = file.absolute().parent
    return configuration.model_copy(
        update={
            "state_directory": directory / configuration.state_directory,
            "run_directory": directory / configuration.run_directory,
            "key": configuration.key.model_copy(update={"secret_file": directory / configuration.key.secret_file}),
        }
    )


def show(configuration: Configuration) -> str:
    """The canonical form: every key with its value, defaults included, as TOML that `parse` reads back."""
    document = configuration.model_dump(mode="json", exclude_none=True)
    lines = [f"{key} = {_toml(value)}" for key, value in document.items() if key not in ("key", "uplink")]
    lines += ["", "[key]", *(f"{key} = {_toml(value)}" for key, value in document["key"].items())]
    for uplink in document["uplink"]:
        lines += ["", "[[uplink]]", *(f"{key} = {_toml(value)}" for key, value in uplink.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, int):
        return str(value).lower()  # true and false too
    escaped = "".join(
        "\\" + letter if letter in '"\\' else letter if letter.isprintable() else f"\\U{ord(letter):08x}"
        for letter in str(value)
    )
    return f'"{escaped}"'


def _dotted(location: Sequence[str | int]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _problem(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    return {"missing": "the key is missing", "extra_forbidden": "no such key"}.get(error["type"], message)


def _remedy(kind: str, key: str) -> str:
    if kind == "missing":
        return f"Add the key {key}"
    return f"Remove the key {key}" if kind == "extra_forbidden" else "Correct the value and check the file with -n"
