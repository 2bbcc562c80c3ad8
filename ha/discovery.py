"""Answers about ourselves: which home agents there are (RFC 6275 10.5), how long a home prefix lives (10.6).

Neither is protected in the absence of IPsec, so both cost the strangers' budget. There is one home agent address,
whichever site answers (RFC 4908).
"""

from ha.effects import Effect, SendHomeAgents, SendPrefixes
from ha.events import HomeAgentsAsked, PrefixesAsked
from ha.prefix import is_global_unicast
from ha.state import State


def home_agents_asked(state: State, event: HomeAgentsAsked, now: float) -> list[Effect]:
    """RFC 6275 10.5.1; RFC 3963 7.2: every home agent here serves mobile routers."""
    if not is_global_unicast(event.source):
        state.counters.add("home_agent_discoveries_discarded", "source_not_unicast")
        return []
    if not state.strangers.within_budget(now, state.undo):
        return []
    state.counters.add("home_agent_discoveries_answered")
    return [SendHomeAgents(event.identifier, event.mobile_router, event.source)]


def prefixes_asked(state: State, event: PrefixesAsked, now: float) -> list[Effect]:
    """RFC 6275 10.6.2: answered to a registered care-of address only."""
    if event.source not in state.cache.care_ofs(event.home_address, now):
        state.counters.add("prefix_solicitations_discarded", "no_binding")
        return []
    if not state.strangers.within_budget(now, state.undo):
        return []
    home_prefix = state.policy.home_prefix(event.home_address)
    if home_prefix is None:
        state.counters.add("prefix_solicitations_discarded", "no_home_prefix")
        return []
    state.counters.add("prefix_solicitations_answered")
    unix_s = state.unix(now)
    preferred_s, valid_s = home_prefix.preferred_s(unix_s), home_prefix.valid_s(unix_s)
    return [SendPrefixes(event.identifier, event.source, event.home_address, home_prefix.prefix, preferred_s, valid_s)]
