"""From the configuration to what the site's data plane is built around. Pure."""

from dataplane.entry import Egress, Prefix, SitePlan
from ha.config import Config
from mip6.discovery import HOME_AGENTS_ANYCAST


def site_plan(config: Config) -> SitePlan:
    """The plan of the configured site."""
    return SitePlan(
        home_agent_address=config.home_agent_address.packed,
        aggregates=tuple(Prefix(prefix.network_address.packed, prefix.prefixlen) for prefix in config.aggregates),
        egresses=tuple(Egress(egress.gateway.packed, egress.interface) for egress in config.egress),
        answers_at=(config.home_agent_address.packed[:8] + HOME_AGENTS_ANYCAST,),  # RFC 6275 10.5
        signalling=(config.limits.from_a_48, config.limits.in_all),
    )
