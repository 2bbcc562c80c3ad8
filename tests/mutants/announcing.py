"""The mutations of what decides how long a site is announced: lease, linger, hold-down, brake, their constants. Data.

`LIVES` is the property test alone; the others are found by the tables' own tests first.
"""

from tests.mutants.mutation import Mutation

LIVES = ("tests/bgp/test_announcing.py",)
TABLES = (
    "tests/bgp/test_speaker.py",
    "tests/bgp/test_speaker_brakes.py",
    "tests/bgp/test_fellows.py",
    "tests/ha/test_readiness.py",
)


def _constant(name: str, file: str, constant: str, right: str, wrong: str, tests: tuple[str, ...]) -> Mutation:
    return Mutation(name, file, f"\n{constant} = {right}", f"\n{constant} = {wrong}", tests)


TOLD = ("tests/bgp/test_sessions.py", "tests/bgp/test_memory.py")

SIMULATION = ("tests/simulation",)
BACKOFF = ("tests/bgp/test_backoff.py",)

MUTATIONS = (
    Mutation(
        "a drain ends without another site",
        "ha/readiness.py",
        "if _another_announces(facts, now, PEER_LOST_S if facts.drained else FRESH_S):",
        "if True:",
        SIMULATION,
    ),
    Mutation(
        "what ExaBGP would send counts as sent",
        "bgp/sessions.py",
        "frozenset(one for one, known in self._known.items() if known.state == ESTABLISHED)",
        "frozenset(self._known)",
        TOLD,
    ),
    Mutation(
        "what an earlier session was sent still counts",
        "bgp/sessions.py",
        "        self._sent.pop(neighbour, None)\n",
        "",
        TOLD,
    ),
    Mutation(
        "an answer from before a reset counts",
        "bgp/sessions.py",
        "        self._asked -= {neighbour}\n",
        "",
        TOLD,
    ),
    Mutation(
        "families that were not agreed on are sent",
        "bgp/sessions.py",
        "if families is None or _family(one) in families",
        "if True",
        TOLD,
    ),
    Mutation(
        "ExaBGP's death is no failure",
        "bgp/memory.py",
        "elif what == \"ExaBGP\" or ",
        "elif ",
        TOLD,
    ),
    Mutation(
        "a planned stop is a failure",
        "bgp/memory.py",
        "if announced and after not in _PLANNED:",
        "if announced:",
        TOLD,
    ),
    Mutation(
        "a failback is forgotten with the failures",
        "bgp/hold_down.py",
        "return max(self._failback_s, growing)",
        "return max(self._failback_s, growing) if failures else 0.0",
        TOLD,
    ),
    Mutation(
        "a new bridge does not hold back",
        "bgp/states.py",
        "        **_WISHES,  # held only if the bridge before this one held it, or had given it up\n",
        "        **_WISHES,\n        Cue.ANNOUNCE: State.ANNOUNCED,\n",
        TABLES,
    ),
    Mutation(
        "what an operator put back is told as ready",
        "ha/serving.py",
        "(str(self.wish) if self._is_put_back(before) else \"ready\",)",
        "(\"ready\",)",
        ("tests/ha/test_serving.py",),
    ),
    Mutation(
        "who asked last is named for whatever comes next",
        "ha/serving.py",
        "follows = wish in decision.reasons and",
        "follows = self.wish != self._heeded or wish in decision.reasons and",
        ("tests/ha/test_serving.py",),
    ),
    Mutation(
        "counts that cannot be forgotten withdraw the site",
        "ha/kernel.py",
        "            self.forget(due)\n",
        "            raise\n",
        ("tests/ha/test_kernel.py",),
    ),
    Mutation(
        "the bridge's word of its neighbours' interval is not heard",
        "ha/serving.py",
        "            mrai_s=self._longest_mrai_s,\n",
        "            mrai_s=self._mrai_s,\n",
        ("tests/ha/test_serving.py",),
    ),
    Mutation(
        "packets to customers keep nobody from being stopped",
        "ha/operator.py",
        "all(0 <= packets <= QUIET_PACKETS for packets in passed.values())",
        "0 <= min(passed.values()) <= QUIET_PACKETS",
        ("tests/ha/test_operator.py",),
    ),
    Mutation(
        "a site vouches for whatever it does",
        "bgp/fellows.py",
        "return bool(up and answer.get(\"state\") == State.ANNOUNCED and answer.get(\"settled\"))",
        "return True",
        ("tests/bgp/test_fellows.py",),
    ),
    Mutation(
        "a site vouches for what its bridge said long ago",
        "bgp/fellows.py",
        "if answer is None or age_s >= VOUCH_S:",
        "if answer is None:",
        ("tests/bgp/test_fellows.py",),
    ),
    Mutation(
        "what ends again and again is started without a delay",
        "bgp/backoff.py",
        "DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)",
        "DELAYS_S = (0.0,)",
        BACKOFF,
    ),
    Mutation(
        "delays never begin anew",
        "bgp/backoff.py",
        "        if lived_s >= STABLE_S:\n            self._failures = 0\n",
        "",
        BACKOFF,
    ),
    Mutation(
        "an inherited lease ends in the history before it began",
        "bgp/speaker.py",
        "        now = max(now, self.changed_at)",
        "        now = now",
        TABLES,
    ),
    Mutation(
        "a lease that ended before ExaBGP has said all ended long before",
        "bgp/speaker.py",
        "        self._inherited_until = max(self._inherited_until, ended_at)",
        "        pass",
        TABLES,
    ),
    _constant("word of another site counts at once", "bgp/speaker.py", "AFTERMATH_S", "0.6", "0.0", LIVES),
    _constant("word counts half as late", "bgp/speaker.py", "AFTERMATH_S", "0.6", "0.3", LIVES),
    _constant("a supervisor vouches too long", "bgp/fellows.py", "VOUCH_S", "0.3", "1.0", LIVES),
    _constant("a lease lasts longer", "bgp/speaker.py", "LEASE_S", "0.3", "0.6", LIVES),
    _constant("a new bridge grants a whole lease", "bgp/speaker.py", "INHERITED_S", "0.2", "0.3", TABLES),
    _constant("a new bridge waits for nobody", "bgp/speaker.py", "INHERITED_S", "0.2", "0.05", TABLES),
    _constant("a depreferenced site hardly lingers", "ha/readiness.py", "LINGER_MIN_S", "1.0", "0.3", LIVES),
    _constant("the linger forgets the neighbours' interval", "ha/readiness.py", "MRAI_FACTOR", "2", "0", LIVES),
    _constant("an old greeting lets go of the brake", "ha/readiness.py", "FRESH_S", "0.5", "30.0", LIVES),
    _constant("a hold-down never ends", "bgp/hold_down.py", "DEFAULT_MAX_S", "60.0", "6000.0", TABLES),
    _constant("nothing is held back", "bgp/hold_down.py", "FIRST_S", "0.5", "0.0", TABLES),
    _constant("failures are not forgotten", "bgp/hold_down.py", "FORGET_S", "300.0", "3000.0", TABLES),
    _constant("what was inherited does not linger", "bgp/speaker.py", "INHERITED_LINGER_S", "1.0", "0.0", TABLES),
    _constant("old word of others counts", "bgp/speaker.py", "OTHERS_FRESH_S", "1.0", "100.0", TABLES),
    _constant("silent speakers are believed", "bgp/fellows.py", "LOST_S", "1.0", "100.0", TABLES),
    Mutation(
        "a lapsed lease is withdrawn at once",
        "bgp/speaker.py",
        "self._ended_at, self._linger_until = ended_at, ended_at + self._linger_s",
        "self._ended_at, self._linger_until = ended_at, ended_at",
        LIVES,
    ),
    Mutation(
        "the lease does not run out",
        "bgp/speaker.py",
        "if self._lease_until is not None and now >= self._lease_until:",
        "if self._lease_until is not None and now >= self._lease_until + 5.0:",
        LIVES,
    ),
    Mutation(
        "the last site withdraws when its linger is over",
        "bgp/speaker.py",
        "orphaned = self.state is State.LINGERING and not others",
        "orphaned = False",
        LIVES,
    ),
    Mutation(
        "the brake is never let go",
        "bgp/speaker.py",
        "elif not orphaned or now >= self._orphan_until:",
        "elif not orphaned:",
        TABLES,
    ),
    Mutation(
        "what came and went is announced at once",
        "bgp/speaker.py",
        "if not hold_s or unseen:",
        "if True:",
        TABLES,
    ),
    Mutation(
        "a hard reason lets the announcement stand",
        "ha/readiness.py",
        'return Decision(WITHDRAW, "WITHDRAWN", hard, linger_s)',
        'return Decision(DEPREFERENCE, "DEPREFERENCED", hard, linger_s)',
        LIVES,
    ),
    Mutation(
        "a drain withdraws before its linger is over",
        "ha/readiness.py",
        "now - facts.wish.since >= _linger(facts):",
        "now - facts.wish.since >= 0.0:",
        LIVES,
    ),
    Mutation(
        "word of others lets go of no orphan",
        "bgp/speaker.py",
        "others = said_at >= self._ended_at + AFTERMATH_S and now - said_at < OTHERS_FRESH_S",
        "others = False",
        LIVES,
    ),
    Mutation(
        "a failed self-test is no reason",
        "ha/readiness.py",
        "    if facts.self_test:\n",
        "    if False:\n",
        LIVES,
    ),
    Mutation(
        "a changed data plane is no reason",
        "ha/readiness.py",
        "if facts.looked and not facts.data_plane_intact:",
        "if False:",
        LIVES,
    ),
    Mutation(
        "a drain only depreferences",
        "ha/readiness.py",
        'return Decision(WITHDRAW, "WITHDRAWN", (str(facts.wish),), linger_s)',
        'return Decision(DEPREFERENCE, "WITHDRAWN", (str(facts.wish),), linger_s)',
        LIVES,
    ),
    Mutation(
        "a drain that was braked stays so",
        "ha/readiness.py",
        "PEER_LOST_S if facts.drained else FRESH_S",
        "PEER_LOST_S if facts.drained else (FRESH_S if now - facts.wish.since < 5.0 else 0.0)",
        LIVES,
    ),
)  # fmt: skip
