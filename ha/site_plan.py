"""From the configuration to what the site's data plane is built around. Pure."""

from collections.abc import Iterable

from dataplane.entry import Egress, Prefix, SitePlan
from ha.config import Config, Network
from mip6.discovery import HOME_AGENTS_ANYCAST


def site_plan(config: Config) -> SitePlan:
    """The plan of the configured site."""
    locators = [config.locator, *(peer.locator for peer in config.peer)]
    return SitePlan(
        home_agent_address=config.home_agent_address.packed,
        aggregates=_prefixes(config.aggregates),
        egresses=tuple(Egress(egress.gateway.packed, egress.interface) for egress in config.egress),
        answers_at=(config.home_agent_address.packed[:8] + HOME_AGENTS_ANYCAST,),  # RFC 6275 10.5
        signalling=(config.limits.from_a_48, config.limits.in_all),
        closed=(*(Prefix(one.packed, 128) for one in locators), *_prefixes(config.forwarding.closed)),
        clamp_mtu=config.forwarding.line_mtu if config.forwarding.clamp_mss else 0,
        memory_reserve=config.forwarding.memory_reserve_mb * 1_000_000,
    )


def _prefixes(networks: Iterable[Network]) -> tuple[Prefix, ...]:
    return tuple(Prefix(network.network_address.packed, network.prefixlen) for network in networks)
