"""The mutations: what is taken out of which file, and the tests that must notice. Data.

Every rule of the tuples named in `TUPLES` is taken out in turn. The others are written down one by one: the place, what
stands there, what is put there instead.
"""

# ruff: noqa: E501  (what is replaced must stand as it stands)

import ast
from pathlib import Path

from tests.mutants import announcing, data_plane, merging, simulated, streams
from tests.mutants.mutation import Mutation
from tests.mutants.self_test import SELF_TEST

ROUTER = ("tests/mr",)
SIMULATION = ("tests/simulation",)
REPLICATION = tuple(
    f"tests/ha/test_{name}.py"
    for name in (
        "repair",
        "star",
        "replication",
        "record",
        "frames",
        "wrong_clocks",
        "home_agent",
        "serving",
        "unknown_customers",
        "awaiting",
    )
)
TOO_MUCH = ("tests/ha/test_too_much.py",)

# File, name of the tuple of rules or checks, tests.
TUPLES = (
    ("ha/registration.py", "RULES", merging.JUDGE),
    ("mr/acknowledgement.py", "_CHECKS", ROUTER),
)

SINGLE = (
    Mutation("O leaves the other bindings", "ha/acceptance.py", 'Version(version.time, "") if overwrite else None', "None", merging.JUDGE),
    Mutation(
        "home bindings are taken",
        "ha/acceptance.py",
        "    if option.home:\n        return Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED\n",
        "",
        merging.JUDGE,
    ),
    Mutation(
        "IPv4 care-of addresses are taken",
        "ha/acceptance.py",
        "    if len(address) != 16:\n",
        "    if len(address) not in (4, 16):\n",
        merging.JUDGE,
    ),
    Mutation(
        "multicast care-of addresses are taken",
        "ha/acceptance.py",
        "    if not is_global_unicast(address):\n        return Status.MCOA_MALFORMED\n",
        "",
        merging.JUDGE,
    ),
    Mutation(
        "care-of addresses may be anywhere",
        "ha/acceptance.py",
        "    if care_of.refusal(address, option.bid, case.rights, case.policy):\n",
        "    if False:\n",
        merging.JUDGE,
    ),
    Mutation(
        "claims are proofs",
        "ha/acceptance.py",
        "    if address == case.source or not case",
        "    if True or not case",
    ),
    Mutation(
        "unknown BIDs are deleted with status 0",
        "ha/acceptance.py",
        "0 if known else int(Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE)",
        "0",
        merging.JUDGE,
    ),
    Mutation(
        "nothing to delete is accepted",
        "ha/acceptance.py",
        "    if not case.live():\n        return Refused(",
        "    if False:\n        return Refused(",
        merging.JUDGE,
    ),
    Mutation("a later version does not win", "ha/record.py", "theirs.version > ours.version", "theirs.version < ours.version", merging.RECORD),
    Mutation("the floor does not kill", "ha/record.py", "        if cell.version > floor:\n", "        if True:\n", merging.RECORD),
    Mutation("a proof is lost in a merge", "ha/record.py", "return theirs if theirs.verified else ours", "return ours", merging.RECORD),
    Mutation(
        "no refusal of the kernel is taken back",
        "ha/updates.py",
        "        return effects\n    if pending.local.fallback is None:\n",
        "    return effects\n    if pending.local.fallback is None:\n",
    ),
    Mutation(
        "status 0 before the kernel has it",
        "ha/updates.py",
        "    return [cache.begin(case.home, entry, local, (), state.undo)]\n",
        "    return [cache.begin(case.home, entry, local, (), state.undo), answer]\n",
    ),
    Mutation(
        "replays are answered without end",
        "ha/updates.py",
        "if not state.limits.spend(Cost.CORRECTION, case.home, now, state.undo):",
        "if False:",
    ),
    Mutation(
        "strangers are answered without end",
        "ha/strangers.py",
        "return None if tokens < 1 else TokenBucket",
        "return TokenBucket",
    ),
    Mutation(
        "an error leaves its traces", "ha/home_agent.py", "            self._undo.roll_back()\n", "            pass\n"
    ),
    Mutation(
        "any cookie is good", "ha/heartbeats.py", "if echoed is not None and cookie.is_good(echoed, *where):", "if echoed:"
    ),
    Mutation("cookies of any address", "ha/cookie.py", "hmac.digest(key, care_of + home_address", "hmac.digest(key, home_address"),
    Mutation(
        "Heartbeats need no key",
        "ha/heartbeats.py",
        "    if not auth.verify(event.octets, association, event.source, home):\n",
        "    if False:\n",
    ),
    Mutation(
        "Heartbeats may be old",
        "ha/heartbeats.py",
        "    if abs(off_s) > state.policy.replay_window_s:\n",
        "    if False:\n",
    ),
    Mutation(
        "paths not proved have traffic", "ha/forwarding.py", "        if not binding.verified:\n", "        if False:\n"
    ),
    Mutation(
        "a revocation may lose",
        "ha/revoke.py",
        "max(record.newest().time, record.message_id, state.clock(now)) + 1",
        "0",
    ),
    Mutation(
        "anybody ends a revocation",
        "ha/revoke.py",
        '        fault = "authentication_failed"\n',
        '        fault = "authentication_failed"\n        state.undo.drop(state.revocations, home)\n',
    ),
    Mutation("keys never end", "ha/customer_table.py", "ends_at is not None and ends_at <= unix_s", "False"),
    Mutation(
        "records from the future are merged",
        "ha/exchange.py",
        "        if state.is_from_the_future(at, now):\n",
        "        if False:\n",
    ),
    Mutation(
        "prefix solicitations from anywhere",
        "ha/discovery.py",
        "    if event.source not in state.cache.care_ofs(event.home_address, now):\n",
        "    if False:\n",
    ),
    Mutation(
        "the router believes any revocation",
        "mr/revocation.py",
        "    if not verify(received.octets, association, received.destination, settings.home_address):\n",
        "    if False:\n",
        ROUTER,
    ),
    Mutation(
        "the router believes any Heartbeat",
        "mr/care_of_proof.py",
        "    if not verify(received.octets, association, received.destination, settings.home_address):\n",
        "    if False:\n",
        ROUTER,
    ),
    Mutation(
        "the router's stamps go back",
        "mr/stamp.py",
        "last=max(clock, stamp.last + 1, self._used(clock) + 1)",
        "last=clock",
        ROUTER,
    ),
    Mutation(
        "Binding Errors count again and again",
        "mr/mobile_router.py",
        "if not is_meant or recently or not state.updates.registered:",
        "if not is_meant or not state.updates.registered:",
        ROUTER,
    ),
    Mutation(
        "a record is acknowledged before it is installed",
        "ha/exchange.py",
        "    if forwarded and orders:\n",
        "    if False:\n",
        SIMULATION,
    ),
    Mutation(
        "one record in the kernel acknowledges all of its frame",
        "ha/replication.py",
        "        return left == 0\n",
        "        return True\n",
    ),
    Mutation(
        "what was quarantined is acknowledged",
        "ha/exchange.py",
        "    merged = bool(index) and len(believed) == len(records)\n", "    merged = bool(index)\n",
        SIMULATION,
    ),
    Mutation(
        "what a wrong clock wrote stays",
        "ha/exchange.py",
        "    ours = state.believed(home_address, now)\n",
        "    ours = cache.records.get(home_address)\n",
    ),
    Mutation(
        "a router is refused for what a wrong clock accepted",
        "ha/updates.py",
        "record=state.believed(home, now)",
        "record=state.cache.records.get(home)",
    ),
    Mutation(
        "a site whose clock fell behind gives up what all know",
        "ha/state.py",
        "None if readiness.clock_is_confirmed(self.serving.seen, now) else record",
        "None",
        merging.CLOCKS,
    ),
    Mutation(
        "nobody compares",
        "ha/repair.py",
        "if not self.settle(now, undo) or now < self._show_at:",
        "if True:",
        SIMULATION,
    ),
    Mutation("a digest is asked about before the full set is there", "ha/replication.py", "        if self.peers[site].asked:\n            return []\n", "", REPLICATION),
    Mutation("a repair shows what the kernel may refuse", "ha/cache.py", "            return pending.local.fallback\n", "            return self.records.get(home_address)\n", REPLICATION),
    Mutation("the digest leaves out the floor", "ha/digest.py", "        record.floor,\n", "", REPLICATION),
    Mutation("the digest leaves out what is verified", "ha/digest.py", "(bid, cell.version, cell.verified)", "(bid, cell.version)", REPLICATION),
    Mutation("a reflector's first set ends without what came meanwhile", "ha/replication.py", "        if is_last and catching_up.missed:", "        if False:", REPLICATION),
    Mutation("who forwards a part vouches for all", "ha/forwarding.py", "if entry is None or len(entry.paths) < len(live):", "if entry is None:", REPLICATION),
    Mutation("who lacks a network vouches for it", "ha/forwarding.py", "    return not named or all(prefix in entry.prefixes for prefix in named)", "    return True", REPLICATION),
    Mutation("digests are made up for by the tick alone", "ha/replication.py", "return self.repair.next_deadline() if is_complete else math.inf", "return math.inf", REPLICATION),
    Mutation("with all, the slow one that does not forward is not waited for", "ha/awaiting.py", "whom = missing if waits_for_all else hoped or missing", "whom = hoped or missing", REPLICATION),
    Mutation("what comes twice on its way to the kernel is never acknowledged", "ha/exchange.py", "is_coming = promise is None and pending is not None", "is_coming = pending is not None", REPLICATION),
    Mutation("what a peer knows already is forgotten when the kernel refuses it here", "ha/exchange.py", "pending is not None and pending.local is None", "pending is not None", REPLICATION),
    Mutation("what two peers tell is ordered twice", "ha/exchange.py", "if held is not None and (at_rest or is_coming) and same", "if held is not None and at_rest and same", REPLICATION),
    Mutation("who only merged a change vouches for it", "ha/exchange.py", "serves=forwarded and state.serving.reconciled", "serves=state.serving.reconciled", REPLICATION),
    Mutation("with all, one that does not forward it is not told of", "ha/awaiting.py", "        if lacking if self._acknowledge", "        if False if self._acknowledge", REPLICATION),
    Mutation("with any, nobody forwards it and nobody hears of it", "ha/awaiting.py", 'if lacking if self._acknowledge == "all" else not good:', 'if lacking if self._acknowledge == "all" else False:', REPLICATION),
    Mutation("a failed event leaves its digests undone", "ha/digest.py", "        undo.on_roll_back(partial(touched.update, chosen))\n", "", REPLICATION),
    Mutation("reflectors pass nothing on", "ha/replication.py", "if not records or not self._reflects:", "if True:", REPLICATION),
    Mutation("everybody passes on", "ha/replication.py", "if not records or not self._reflects:", "if not records:", REPLICATION),
    Mutation("a starting reflector passes on full sets", "ha/replication.py", "        if not index and any(", "        if False and any(", REPLICATION),
    Mutation("a reflector keeps who has it to itself", "ha/replication.py", "        if whole and effects and len(batches) == 1:", "        if False:\n", REPLICATION),
    Mutation("the reflector alone is always enough", "ha/awaiting.py", "        good = serves or (reflects and not awaited.hoped)", "        good = True", REPLICATION),
    Mutation("a start is over when all is heard", "ha/knowledge.py", 'undo.assign(self, "_awaited", (*pending, *refused))', "pass", REPLICATION),
    Mutation("who waits for the kernel never sees anybody arrive", "ha/knowledge.py", "            arrived += 1\n", "            break\n", REPLICATION),
    Mutation("what the kernel refuses at the start is not waited for", "ha/knowledge.py", "(is_patient and awaited[arrived] in refused)", "False", REPLICATION),
    Mutation("who was alone takes a greeting for knowledge", "ha/knowledge.py", 'elif isolated or self._stood_still(now):', "elif False:", REPLICATION),
    Mutation("who was alone asks nobody", "ha/home_agent.py", "if state.serving.lost_touch(now):", "if False:", REPLICATION),
    Mutation("who stood still takes a greeting for knowledge", "ha/knowledge.py", "return now - self._looked_at > PEER_LOST_S", "return False", REPLICATION),
    Mutation("a self-test that passes in a repair is told at once", "ha/kernel.py", "failure is None and (self._alarmed or self._in_use.locked())", "failure is None and self._alarmed", ("tests/ha/test_kernel.py",)),
    Mutation("a self-test passes before anybody has looked", "ha/kernel.py", "failure is None and (self._alarmed or self._in_use.locked())", "failure is None and self._in_use.locked()", ("tests/ha/test_kernel.py",)),
    Mutation("a self-test that passed in a repair is never told", "ha/kernel.py", "            self._tell_that_it_passes()\n", "", ("tests/ha/test_kernel.py",)),
    *SELF_TEST,
    Mutation("nobody looks for a way out while the driver is in use", "ha/kernel.py", "        if not self._intact:\n            return\n", "        if self._in_use.locked() or not self._intact:\n            return\n", ("tests/ha/test_kernel.py",)),
    Mutation("orders of a broken driver are never reported", "ha/kernel.py", "        except Exception as error:  # who", "        except ZeroDivisionError as error:  # who", ("tests/ha/test_kernel.py",)),
    Mutation("a lease is renewed behind all of a turn", "runtime/loop.py", "if self._tick is not None and self._tick.due_at() <= self.now():", "if False:", ("tests/runtime/test_loop.py",)),
    Mutation("a snapshot of the dead is knowledge", "ha/home_agent.py", "any(entry is not None for entry in entries.values())", "bool(entries)", REPLICATION),
    Mutation("what nobody vouches for is forwarded for ever", "ha/home_agent.py", "if state.serving.knowledge.synced and not was_synced:", "if False:", REPLICATION),
    Mutation("who is not in the kernel is announced", "ha/readiness.py", "if not facts.installed and not facts.started:", "if False:", (*REPLICATION, "tests/ha/test_readiness.py")),
    Mutation("reflectors tell each other what they did not hear", "ha/serving.py", "if seen is not None and seen.direct and now", "if seen is not None and now", REPLICATION),
    Mutation("what is heard through a reflector is new", "ha/serving.py", "heard_at = now - max(0.0, one.age_s)", "heard_at = now", REPLICATION),
    Mutation("the end of a full set acknowledges", "ha/exchange.py", "0 if event.frame.complete else event.frame.index", "event.frame.index", REPLICATION),
    Mutation("what was refused at the start is taken for nothing", "ha/cache.py", "home_address in self.pending or home_address in self.unsettled", "home_address in self.pending", REPLICATION),
    Mutation("parts of a later release are lost in a merge", "ha/record.py", "        more=_more(ours.more, theirs.more),\n", "", REPLICATION),
    Mutation("parts of a later release are lost by a Binding Update", "ha/acceptance.py", "        more=old.more if old else {},\n", "", REPLICATION),
    Mutation("a site's own word counts as another's", "ha/awaiting.py", "if awaited is None or site not in awaited.missing:", "if awaited is None:", REPLICATION),
    Mutation("a reflector tells a site that it has its own change", "ha/awaiting.py", "            if site == origin.site:\n                return []\n", "", REPLICATION),
    Mutation("what the kernel refused is acknowledged when it comes again", "ha/exchange.py", "pending is None and home_address not in cache.unsettled", "pending is None", REPLICATION),
    Mutation("a reflector names a change of which it passes on a part", "ha/exchange.py", "whole = kept and len(news) == len(records)", "whole = kept", REPLICATION),
    Mutation("parts of a record grow without bound", "ha/record.py", "return dict(sorted({**ours, **newer}.items())[:MORE_MAX])", "return {**ours, **newer}", REPLICATION),
    Mutation("cells of a record grow without bound", "ha/record.py", "    if len(cells) > CELLS_MAX:\n", "    if False:\n", REPLICATION),
    Mutation("what is told at a time is counted by records alone", "ha/replication.py", "        first = next(frames.batches(records), [])\n", "        first = records\n", TOO_MUCH),
    Mutation("a reflector passes on what no frame holds", "ha/replication.py", "batches = list(frames.batches(records))", "batches = [list(records)]", TOO_MUCH),
    Mutation("records are counted smaller than they are", "ha/frames.py", "340 * len(record.cells)", "100 * len(record.cells)", TOO_MUCH),
    Mutation("a record may name any number of prefixes", "ha/frames.py", "Meta(max_length=PREFIXES_MAX)", "Meta()", TOO_MUCH),
    Mutation("any number of buckets is shown", "ha/repair.py", "one.left[:BUCKETS_MAX], SHOWN_MAX)", "one.left[:BUCKETS_MAX], 2**31)", TOO_MUCH),
    Mutation("a bucket that is too large is never shown", "ha/digest.py", "return shown or {number: {}}", "return shown", TOO_MUCH),
    Mutation("invented homes fill the memory", "ha/exchange.py", "            room -= 1\n", "", TOO_MUCH),
    Mutation("a customer needs room", "ha/state.py", "home_address in self.cache.records or home_address in self.table.customers", "home_address in self.cache.records", TOO_MUCH),
    Mutation("who has a record needs room", "ha/state.py", "home_address in self.cache.records or home_address in self.table.customers", "home_address in self.table.customers", TOO_MUCH),
    Mutation("a complaint is repeated", "ha/state.py", "        self.undo.put(self.complained, (subject, why), now)\n", "", TOO_MUCH),
    Mutation("a repair never goes on", "ha/exchange.py", "    if event.frame.repaired:\n", "    if False:\n", REPLICATION),
    Mutation("every round of repair begins at the first bucket", "ha/repair.py", "in_turn = (*behind, *(bucket for bucket in found if bucket <= before.last))", "in_turn = tuple(found)", REPLICATION),
    Mutation("a starting reflector's set is taken for all there is", "ha/replication.py", "if is_last and catching_up.resumes and self._is_held_back(now):", "if False:", REPLICATION),
    Mutation("the timeout is that of a site whose word is not enough", "ha/awaiting.py", "missing if waits_for_all else hoped or missing", "missing", REPLICATION),
    Mutation("anybody speaks for others", "ha/serving.py", "for one in hello.others if site in self._topology.reflectors else ():", "for one in hello.others:", REPLICATION),
    Mutation("anybody acknowledges for others", "ha/replication.py", "ack.site if ack.site and self.peers[site].reflects else site", "ack.site or site", REPLICATION),
    Mutation("a reflector's word is newer than a site's own", "ha/serving.py", "if known is not None and known.direct and now - known.heard_at < readiness.FRESH_S:", "if False:", REPLICATION),
    Mutation(
        "the lower version wins, in simulation",
        "ha/record.py",
        "theirs.version > ours.version",
        "theirs.version < ours.version",
        SIMULATION,
    ),
    Mutation(
        "the floor does not kill, in simulation",
        "ha/record.py",
        "        if cell.version > floor:\n",
        "        if True:\n",
        SIMULATION,
    ),
    Mutation(
        "a peer resumes too late",
        "ha/replication.py",
        "if index > since]",
        "if index > since + 3]",
        ("tests/ha/test_replication.py::test_a_peer_that_was_away_resumes_where_it_was",),
    ),
    Mutation(
        "an answer without a peer is not counted",
        "ha/awaiting.py",
        '            self._counters.add("acknowledged_degraded", "timeout")\n',
        "",
        SIMULATION,
    ),
    Mutation(
        "a lapsed lease stays preferred",
        "bgp/states.py",
        "    State.ANNOUNCED: {\n        **_WISHES,\n        Cue.ANNOUNCE: State.ANNOUNCED,\n        Cue.LEASE_ENDED: State.LINGERING,\n",
        "    State.ANNOUNCED: {\n        **_WISHES,\n        Cue.ANNOUNCE: State.ANNOUNCED,\n",
        SIMULATION,
    ),
    Mutation(
        "bindings do not expire",
        "ha/aging.py",
        "for record in list(state.cache.due(now, state.undo)):",
        "for record in list(state.cache.due(0.0, state.undo)):",
        SIMULATION,
    ),
    Mutation(
        "a report of an older order counts",
        "ha/cache.py",
        "        if pending is None or pending.generation != generation:\n",
        "        if pending is None:\n",
        ("tests/ha/test_meanwhile.py::test_a_report_about_an_older_order_says_nothing_about_the_newer_one",),
    ),
    Mutation("stamps go on from what no home agent of this time accepts", "mr/stamp.py", " if stamp <= clock + WINDOW),", "),", ROUTER),
    Mutation("one site's wrong clock is that of all lines", "mr/stamp.py", "self.common if self.is_proven else told", "told", ROUTER),
    Mutation("a line that hears of the right time keeps it to itself", "mr/stamp.py", "if not stamp.is_like(refused)}", "if one != care_of}", ROUTER),
    Mutation("a line keeps what a wrong clock told it", "mr/stamp.py", "Stamps(replace(good, last=last), ack", "Stamps(replace(good, last=last), self.corrected, ack", ROUTER),
    Mutation("the clock of the line that hears is taken for good", "mr/stamp.py", "key=lambda stamp: abs(stamp.clock(sent_at) - timestamp)", "key=lambda stamp: stamp is self.common", ROUTER),
    Mutation("lines undercut each other's stamps", "mr/stamp.py", "stamp.last + 1, self._used(clock) + 1)", "stamp.last + 1)", ROUTER),
    Mutation("what was said from an address that is gone is undercut", "mr/stamp.py", "last = max(self.common.last, self._used(self.common.clock(now)))", "last = self.common.last", ROUTER),
    Mutation(
        "who slept tells what its bridge said before",
        "ha/serving.py",
        " and now - self._answered_at < ANSWERED_S else",
        " else",
    ),
)  # fmt: skip


def all_mutations(root: Path) -> list[Mutation]:
    """Every mutation of the tree at `root`. Raises: ValueError if one does not fit it any more."""
    found = [one for file, name, tests in TUPLES for one in _without_each(root, file, name, tests)]
    modules = (merging, announcing, data_plane, simulated, streams)
    for one in (*SINGLE, *(one for module in modules for one in module.MUTATIONS)):
        if (root / one.file).read_text().count(one.before) != 1:
            raise ValueError(f"the mutation {one.name!r} does not fit {one.file} any more")
        found.append(one)
    return found


def _without_each(root: Path, file: str, name: str, tests: tuple[str, ...]) -> list[Mutation]:
    """One mutation for each member of the tuple `name` in `file`."""
    source = (root / file).read_text()
    tree = ast.parse(source)
    for node in tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == name and isinstance(node, ast.AnnAssign):
            assert isinstance(node.value, ast.Tuple)
            whole = ast.get_source_segment(source, node.value)
            assert whole is not None
            parts = [ast.get_source_segment(source, member) or "" for member in node.value.elts]
            return [
                Mutation(f"{name} without {part}", file, whole, whole.replace(f"    {part},\n", "", 1), tests)
                for part in parts
            ]
    raise ValueError(f"{file} has no tuple {name}")
