"""The mutations of what only a world of many sites, routers and wrong clocks shows well: seeds find them. Data."""

from tests.mutants.mutation import Mutation

SIMULATION = ("tests/simulation",)

MUTATIONS = (
    Mutation(
        "a plain update leaves what has a BID, in simulation",
        "ha/acceptance.py",
        '{PLAIN_BID: cell}, Version(version.time, ""))',
        "{PLAIN_BID: cell}, None)",
        SIMULATION,
    ),
    Mutation(
        "without a Mesg-ID the clock alone counts, in simulation",
        "ha/acceptance.py",
        "Version(max(case.clock, newest + 1), case.policy.site)",
        "Version(case.clock, case.policy.site)",
        SIMULATION,
    ),
    Mutation(
        "a router is refused for what a wrong clock accepted, in simulation",
        "ha/updates.py",
        "record=state.believed(home, now)",
        "record=state.cache.records.get(home)",
        SIMULATION,
    ),
    Mutation(
        "tombstones stay for ever, in simulation",
        "ha/record.py",
        "if cell.expires_at > now}\n        if not cells and",
        "if cell.expires_at > now or cell.care_of is None}\n        if not cells and",
        SIMULATION,
    ),
    Mutation(
        "a right site finds itself off the median of the others, in simulation",
        "ha/readiness.py",
        "median_high((0.0, *ahead))",
        "median_high(ahead)",
        SIMULATION,
    ),
    Mutation(
        "one wrong clock of three leaves none confirmed, in simulation",
        "ha/readiness.py",
        "clocks = [0.0, *_clocks_ahead(peers, now)]",
        "clocks = [*_clocks_ahead(peers, now)] * 2",
        SIMULATION,
    ),
    Mutation(
        "what is not here after the merge is vouched for, in simulation",
        "ha/exchange.py",
        "    return holds(ours, change, now) and not",
        "    return not",
        SIMULATION,
    ),
    Mutation(
        "a reflector never forgets whose change it passed on",
        "ha/awaiting.py",
        "            undo.drop(self._origins, index)\n",
        "            pass\n",
        SIMULATION,
    ),
)
