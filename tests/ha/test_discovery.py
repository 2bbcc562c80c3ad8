"""Questions about ourselves: home agents, home prefixes and their lifetimes, and what these do to registrations."""

from dataclasses import replace

import pytest

from ha.effects import SendHomeAgents, SendPrefixes
from ha.events import HomeAgentsAsked, PrefixesAsked
from ha.site import HomePrefix
from mip6.numbers import Status
from mip6.options import BindingRefreshAdvice
from tests.ha.cast import AGGREGATE, CARE_OF_1, CARE_OF_3, EPOCH, HOME, POLICY, Router, Site, address, both_lines

NOW = 100.0
HOME_PREFIX = (address("2001:db8:f000::"), 64)


def site_until(preferred_s: float | None, valid_s: float | None) -> Site:
    """A site whose home prefix has these lifetimes left at `NOW`."""
    ends = [None if left is None else EPOCH + NOW + left for left in (preferred_s, valid_s)]
    return Site(policy=replace(POLICY, home_prefixes=(HomePrefix(HOME_PREFIX, *ends),)))


def test_the_home_agent_asked_for_is_ours_and_serves_mobile_routers() -> None:
    assert Site().feed(HomeAgentsAsked(7, True, CARE_OF_3), NOW) == [SendHomeAgents(7, True, CARE_OF_3)]


def test_strangers_questions_share_a_budget() -> None:
    site = Site()
    answers = [answer for _ in range(500) for answer in site.feed(HomeAgentsAsked(7, False, CARE_OF_3), NOW)]
    assert len(answers) == 100 and site.counters.get("answers_suppressed", "strangers") == 400
    assert site.feed(HomeAgentsAsked(7, False, address("ff02::1")), NOW + 9) == []


def test_a_registered_router_is_told_its_home_prefix_and_nobody_else() -> None:
    site = site_until(600, 1200)
    site.feed(Router().update(NOW, both_lines()), NOW)
    told = SendPrefixes(5, CARE_OF_1, HOME, HOME_PREFIX, 600, 1200)
    assert site.feed(PrefixesAsked(5, CARE_OF_1, HOME), NOW) == [told]
    assert site.feed(PrefixesAsked(5, CARE_OF_3, HOME), NOW) == []
    assert site.counters.get("prefix_solicitations_discarded", "no_binding") == 1


def test_an_aggregate_without_lifetimes_lives_for_ever() -> None:
    site = Site()
    site.feed(Router().update(NOW, both_lines()), NOW)
    assert site.feed(PrefixesAsked(5, CARE_OF_1, HOME), NOW) == [
        SendPrefixes(5, CARE_OF_1, HOME, AGGREGATE, None, None)
    ]


@pytest.mark.parametrize(
    ("preferred_s", "valid_s", "status", "granted_s"),
    [
        (None, None, Status.ACCEPTED, 120),
        (120, 500, Status.ACCEPTED, 120),
        (119, 500, Status.PREFIX_DISCOVERY_NECESSARY, 120),
        (0, 500, Status.PREFIX_DISCOVERY_NECESSARY, 120),
        (50, 63, Status.PREFIX_DISCOVERY_NECESSARY, 60),
        (0, 0, Status.NOT_HOME_SUBNET, 0),
    ],
)
def test_a_binding_never_outlives_its_home_prefix(
    preferred_s: float | None, valid_s: float | None, status: Status, granted_s: int
) -> None:
    site = site_until(preferred_s, valid_s)
    for bids in (both_lines(), ()):
        site = site_until(preferred_s, valid_s)
        [ack] = site.acks(Router().update(NOW, bids), NOW)
        assert (ack.ack.status, ack.ack.lifetime_s) == (status, granted_s)


def test_refresh_advice_is_given_if_configured_below_the_lifetime_and_not_when_deleting() -> None:
    site, router = Site(policy=replace(POLICY, refresh_advice_s=60)), Router()
    for lifetime_s, advised in ((120, [BindingRefreshAdvice(60)]), (60, []), (0, [])):
        [ack] = site.acks(router.update(NOW, both_lines(), lifetime_s=lifetime_s), NOW)
        assert ack.ack.all(BindingRefreshAdvice) == advised
