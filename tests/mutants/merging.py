"""The mutations of what makes of many sites' words one truth: record, merge, acceptance, revocation, quarantine. Data.

And of neighbours of theirs: whose clock is wrong, answers that wait for a site that is lost, and files that outlive a power cut.

`RECORD` are the properties of the value alone, `RACES` those of home agents that hear one router and meet later.

Not listed, since nothing that happens can tell them from what stands there:
* `message_id` left out where the newest version is asked for too (`_version`, `revoke`, `message_id_mismatch`): the update
  that wrote it wrote its sequence number at the same version, and that is never taken away;
* in `live`, a plain binding and one with a BID of the very same version: no update writes both;
* in `merge`, registers of one version but with other values: a version has one writer, who wrote once.
"""

# ruff: noqa: E501  (what is replaced must stand as it stands)

from tests.mutants.mutation import Mutation

RECORD = ("tests/ha/test_record.py",)
RACES = ("tests/ha/test_races.py",)
READINESS = ("tests/ha/test_readiness.py",)
CLOCKS = ("tests/ha/test_wrong_clocks.py",)
FRAMES = ("tests/ha/test_frames.py",)
REVOKE = ("tests/ha/test_revoke.py",)
JUDGE = ("tests/ha/test_registration.py",)
AWAITING = ("tests/ha/test_awaiting.py",)
FILES = ("tests/ha/test_files.py",)
UNKNOWN = ("tests/ha/test_unknown_customers.py",)
MEANWHILE = ("tests/ha/test_meanwhile.py",)
WISH = ("tests/ha/test_wish_file.py",)
DISK = ("tests/runtime/test_durable.py",)

_RECORD = (
    ("a deletion of all is vouched for whatever stands above it", "        return not live ", "        return True ", RECORD),
    ("the lower floor wins", "floor = max(ours.floor, theirs.floor)", "floor = min(ours.floor, theirs.floor)", RECORD),
    ("our floor stays, in races", "floor = max(ours.floor, theirs.floor)", "floor = ours.floor", RACES),
    ("a cell at the floor lives", "        if cell.version > floor:\n", "        if cell.version >= floor:\n", RECORD),
    ("the floor does not kill, in races", "        if cell.version > floor:\n", "        if True:\n", RACES),
    ("cells that only a peer has are lost", "in ours.cells.keys() | theirs.cells.keys():", "in ours.cells.keys():", RECORD),
    ("of two cells of one time ours wins", "return theirs if theirs.version > ours.version else", "return theirs if theirs.version.time > ours.version.time else", RECORD),
    ("the larger sequence number wins", "sequence=max(ours.sequence, theirs.sequence, key=_register_version)", "sequence=max(ours.sequence, theirs.sequence, key=lambda register: register.value)", RECORD),
    ("the older sequence number wins", "sequence=max(ours.sequence, theirs.sequence", "sequence=min(ours.sequence, theirs.sequence", RECORD),
    ("our sequence number stays, in races", "sequence=max(ours.sequence, theirs.sequence, key=_register_version)", "sequence=ours.sequence", RACES),
    ("the older network wins", "network=max(ours.network, theirs.network", "network=min(ours.network, theirs.network", RECORD),
    ("the lower Mesg-ID wins", "message_id=max(", "message_id=min(", RECORD),
    ("a record is kept as long as ours was to be", "kept_until=max(ours.kept_until, theirs.kept_until)", "kept_until=ours.kept_until", RECORD),
    ("a record is kept as long as ours was to be, in races", "kept_until=max(ours.kept_until, theirs.kept_until)", "kept_until=ours.kept_until", RACES),
    ("a record is kept for the shorter time", "kept_until=max(", "kept_until=min(", RECORD),
    ("a record is kept for the shorter time, in races", "kept_until=max(", "kept_until=min(", RACES),
    ("the cells with the highest BIDs stay", "sorted(cells.items())[:CELLS_MAX]", "sorted(cells.items())[-CELLS_MAX:]", RECORD),
    ("the parts with the highest names stay", "sorted({**ours, **newer}.items())[:MORE_MAX]", "sorted({**ours, **newer}.items())[-MORE_MAX:]", RECORD),
    ("of two parts of one version ours stays", "(register.version, register.value) > (than.version, than.value)", "register.version > than.version", RECORD),
    ("of two parts the larger value wins", "(register.version, register.value) > (than.version, than.value)", "register.value > than.value", RECORD),
    ("the newest version is not that of a cell", "            if cell.version > newest:\n", "            if False:\n", RECORD),
    ("the newest version is not that of the sequence number", "max(self.floor, self.sequence.version, self.network.version)", "max(self.floor, self.network.version)", RECORD),
    ("the newest version is not that of the network", "max(self.floor, self.sequence.version, self.network.version)", "max(self.floor, self.sequence.version)", RECORD),
    ("the newest version is not that of the floor", "max(self.floor, self.sequence.version, self.network.version)", "max(self.sequence.version, self.network.version)", RECORD),
    ("the newest version is not that of a later release's part", "            newest = max(newest, register.version)\n", "            pass\n", RECORD),
    ("tombstones are forgotten at once", "if cell.expires_at > now}\n        if not", "if cell.expires_at > now and cell.care_of}\n        if not", RECORD),
    ("tombstones are forgotten at once, in races", "if cell.expires_at > now}\n        if not", "if cell.expires_at > now and cell.care_of}\n        if not", RACES),
    ("a record without cells is forgotten", "        if not cells and self.kept_until <= now:\n", "        if not cells:\n", RECORD),
    ("a record without cells is forgotten, in races", "        if not cells and self.kept_until <= now:\n", "        if not cells:\n", RACES),
    ("a record is never forgotten", "        if not cells and self.kept_until <= now:\n", "        if False:\n", RECORD),
    ("time takes nothing away before the record may be forgotten", "return min((cell.expires_at for cell in self.cells.values()), default=self.kept_until)", "return self.kept_until", RACES),
    ("what is looked at again is too late", "return min((cell.expires_at for cell", "return max((cell.expires_at for cell", RECORD),
    ("expired bindings live", "if cell.care_of is not None and cell.expires_at > now}", "if cell.care_of is not None}", RECORD),
    ("tombstones live", "if cell.care_of is not None and cell.expires_at > now}", "if cell.expires_at > now}", RECORD),
    ("a plain binding is in force beside newer ones", "max(cell.version for cell in bindings.values()) > plain.version", "False", RECORD),
    ("a plain binding gives way to older ones", "        if bindings and max(cell.version for cell in bindings.values()) > plain.version:\n", "        if bindings:\n", RECORD),
    ("a plain binding and others are in force", "        return {PLAIN_BID: plain}\n", "        return {**bindings, PLAIN_BID: plain}\n", RECORD),
    ("records with other floors are the same", "        ours.floor == theirs.floor\n", "        True\n", RECORD),
    ("records with other Mesg-IDs are the same", "        and ours.message_id == theirs.message_id\n", "", RECORD),
    ("records with other sequence numbers are the same", "        and ours.sequence.version == theirs.sequence.version\n", "", RECORD),
    ("records with other networks are the same", "        and ours.network.version == theirs.network.version\n", "", RECORD),
    ("records of which one proved more are the same", " and other.verified == cell.verified\n", "\n", RECORD),
    ("records with other cells are the same", "(other := theirs.cells[bid]).version == cell.version and", "(other := theirs.cells[bid]) and", RECORD),
    ("records with more cells are the same", "        and ours.cells.keys() == theirs.cells.keys()\n", "        and ours.cells.keys() <= theirs.cells.keys()\n", RECORD),
    ("what another line said takes the word for this one", "[bid for bid, cell in theirs.cells.items() if cell.version == newest]", "list(theirs.cells)", CLOCKS),
    ("what is not in force is here", "(live if theirs.cells[bid].care_of else ours.cells)", "ours.cells", RECORD),
    ("records with other parts of a later release are the same", "        and ours.more == theirs.more\n", "", RECORD),
)  # fmt: skip

_ACCEPTANCE = (
    ("a plain binding leaves the others for later", '_changed(case, version, {PLAIN_BID: cell}, Version(version.time, ""))', "_changed(case, version, {PLAIN_BID: cell}, None)", RACES),
    ("O leaves the other bindings, in races", 'Version(version.time, "") if overwrite else None', "None", RACES),
    ("O kills its own bindings at the next merge", 'Version(version.time, "") if overwrite else None', "version if overwrite else None", RACES),
    ("deletion of all is not remembered", "_changed(case, version, {}, version)", "_changed(case, version, {}, None)", RACES),
    ("deletion of all leaves what stood at its time", "_changed(case, version, {}, version)", "_changed(case, version, {}, OLDEST)", RACES),
    ("a later update forgets the floor", "floor = old.floor if old else OLDEST", "floor = OLDEST", RACES),
    ("what the floor kills stays until the next merge", "for bid, cell in old.cells.items() if cell.version > floor} | cells", "for bid, cell in old.cells.items()} | cells", RACES),
    ("without authentication the clock alone decides", "Version(max(case.clock, newest + 1), case.policy.site)", "Version(case.clock, case.policy.site)", RACES),
    ("without authentication the clock does not count", "Version(max(case.clock, newest + 1), case.policy.site)", "Version(newest + 1, case.policy.site)", RACES),
    ("without authentication a version is used again", "Version(max(case.clock, newest + 1), case.policy.site)", "Version(max(case.clock, newest), case.policy.site)", RACES),
    ("a tombstone ends at once", "cells[option.bid] = Binding(version, None, _forgotten_at(case))", "cells[option.bid] = Binding(version, None, case.now)", RACES),
    ("a deletion is forgotten when a late frame may still bring the binding", "return case.now + case.policy.lifetime_max_s + case.policy.clock_skew_s + case.policy.replay_window_s", "return case.now + case.policy.lifetime_max_s", RACES),
    ("sequence numbers are not kept", "sequence=Register(version, case.update.sequence)", "sequence=old.sequence if old else Register(version, case.update.sequence)", RACES),
    ("a deletion forgets which networks were named", "    if old and case.update.lifetime_s == 0:\n", "    if False:\n", JUDGE),
)  # fmt: skip

_REVOKE = (
    ("a revocation loses to a router that is ahead", "max(record.newest().time, record.message_id, state.clock(now)) + 1", "state.clock(now) + 1", RACES),
    ("a revocation loses to what another site heard before", "max(record.newest().time, record.message_id, state.clock(now)) + 1", "record.newest().time + 1", RACES),
    ("a revocation ties with what it takes away", "max(record.newest().time, record.message_id, state.clock(now)) + 1", "max(record.newest().time, state.clock(now))", RACES),
    ("a revocation of all is not remembered", "cells={}, floor=version, kept_until=kept_until", "cells={}, kept_until=kept_until", RACES),
    ("a revocation of some leaves no tombstones", "cells={**record.cells, **tombstones}", "cells={bid: cell for bid, cell in record.cells.items() if bid not in bids}", RACES),
    ("a revocation of some takes all", "    if not bids:\n        return replace(", "    if True:\n        return replace(", RACES),
    ("a revocation is forgotten at once", "    kept_until = now + state.longest_s()\n", "    kept_until = now\n", RACES),
    ("a suspended customer is revoked with each table", "and was and was.active and", "and was and", REVOKE),
    ("whoever a new table says something new of is revoked", "was.active and (is_now is None or not is_now.active)", "was.active", REVOKE),
    ("a customer new and suspended is an error", "and was and was.active and", "and was.active and", REVOKE),
    ("a revocation is forgotten with the record", "floor=version, kept_until=kept_until", "floor=version", RACES),
)  # fmt: skip

_EXCHANGE = (
    ("who holds something newer vouches", "    elif kept:\n", "    elif merged:\n", CLOCKS),
    ("what stands beside a time to come is vouched for", " and not state.is_from_the_future(state.written_at(ours), written_at)", "", CLOCKS),
    ("what others will put aside is vouched for", "        and not state.is_outdated(min(written_at, default=now), now)\n", "", CLOCKS),
    ("a word of today vouches for what came with it", "is_outdated(min(written_at", "is_outdated(max(written_at", CLOCKS),
    ("what a reflector took out of a change is vouched for", "whole = kept and len", "whole = bool(index) and len", CLOCKS),
)  # fmt: skip

_READINESS = (
    ("a right site finds itself off the median of the others", "median_high((0.0, *ahead))", "median_high(ahead)", READINESS),
    ("one wrong clock of three leaves none confirmed", "clocks = [0.0, *_clocks_ahead(peers, now)]", "clocks = [*_clocks_ahead(peers, now)] * 2", READINESS),
    ("of two against two all are wrong", "from statistics import median_high", "from statistics import median as median_high", READINESS),
)  # fmt: skip

_STATE = (
    ("what another site rightly accepted is quarantined", "return written_at - self.policy.replay_window_s - self.policy.clock_skew_s > now", "return written_at - self.policy.replay_window_s > now", CLOCKS),
    ("what no site may have accepted is merged", "return written_at - self.policy.replay_window_s - self.policy.clock_skew_s > now", "return written_at - self.policy.replay_window_s - 2 * self.policy.clock_skew_s > now", CLOCKS),
    ("who is ahead vouches for nothing", "return taken_until < now and readiness.clock_is_confirmed(self.serving.seen, now)", "return taken_until < now", CLOCKS),
    ("what a router with a slow clock said in time is outdated", "taken_until = written_at + self.policy.replay_window_s +", "taken_until = written_at +", CLOCKS),
    ("a Mesg-ID of tomorrow is merged", "max(record.newest().time, record.message_id)) - self.clock_offset_s", "record.newest().time) - self.clock_offset_s", CLOCKS),
    ("what peers say is forgotten when a late frame may still bring the binding", "return self.policy.lifetime_max_s + self.policy.clock_skew_s + self.policy.replay_window_s", "return self.policy.lifetime_max_s", RACES),
)  # fmt: skip

_REGISTRATION = (
    ("what another site heard has no sequence number", "if record is None or record.sequence.version == OLDEST:", "if record is None or record.sequence.version.site != case.policy.site:", RACES),
    ("what an operator wrote has no time", "option.timestamp <= max(case.record.message_id, case.record.newest().time)", "option.timestamp <= case.record.message_id", REVOKE),
    ("a replay of the last update is new", "option.timestamp <= max(case.record.message_id,", "option.timestamp < max(case.record.message_id,", JUDGE),
    ("a Mesg-ID of long ago is fresh", "if abs(ntp.difference_s(option.timestamp, case.clock)) > case", "if ntp.difference_s(option.timestamp, case.clock) > case", JUDGE),
    ("a sequence number is judged for ten seconds only", "if not case.live() and age_s > DELETED_SEQUENCE_KEPT_S:", "if age_s > DELETED_SEQUENCE_KEPT_S:", RACES),
    ("a sequence number is judged for as long as the record is kept", "if not case.live() and age_s > DELETED_SEQUENCE_KEPT_S:", "if False:", JUDGE),
    ("tombstones without end", "\nTOMBSTONES_MAX = 32", "\nTOMBSTONES_MAX = 3200", JUDGE),
)  # fmt: skip

_FRAMES = (
    ("a peer's binding lives as long as the peer says", "            now + min(cell.remaining_s, longest_s),\n", "            now + cell.remaining_s,\n", FRAMES),
    ("a peer's record is kept as long as the peer says", "now + min(wire.kept_s, longest_s)", "now + wire.kept_s", FRAMES),
    ("a frame that cannot be read is an error of ours", "_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)", "_UNREADABLE = (msgspec.MsgspecError,)", FRAMES),
    ("a peer's sequence number has no bound", "sequence: Register[Annotated[int, Meta(ge=0, le=0xFFFF)]]", "sequence: Register[int]", FRAMES),
    ("times travel as they are on our clock", "cell.care_of, cell.expires_at - now,", "cell.care_of, cell.expires_at,", RACES),
    ("how long a record is kept travels as it is on our clock", "kept_s=record.kept_until - now", "kept_s=0.0", RACES),
)  # fmt: skip

_HEARTBEATS = (
    ("the proof of an address proves the one before it", "cell.verified or proved.get(bid) == cell.version", "cell.verified or bid in proved", MEANWHILE),
)  # fmt: skip

_CACHE = (
    ("what is revoked meanwhile comes back with what the kernel refused", "fallback=change(pending.local.fallback)", "fallback=pending.local.fallback", MEANWHILE),
    ("what the kernel may yet refuse is told with a revocation", "        return self.committed(home_address)\n\n    def forget", "        return self.records[home_address]\n\n    def forget", MEANWHILE),
)  # fmt: skip

_DIGEST = (
    ("the digest leaves out the Mesg-ID", "        record.message_id,\n", "", RECORD),
    ("the digest leaves out the sequence number", "        record.sequence.version,\n", "", RECORD),
    ("the digest leaves out the network", "        record.network.version,\n", "", RECORD),
    ("the digest leaves out the parts of a later release", "        sorted((name, register.version, register.value) for name, register in record.more.items()),\n", "", RECORD),
)  # fmt: skip

_AWAITING = (
    ("an answer to a site that is lost is not counted", '                self._counters.add("acknowledged_degraded", "peer_lost")\n', "", AWAITING),
    ("an answer waits for the timeout when the last site is lost", "            elif awaited.answer is not None:\n                self._counters", "            elif False:\n                self._counters", AWAITING),
    ("who is lost is still hoped for", "missing=missing, hoped=awaited.hoped - {site}, lacking=lacking)", "missing=missing, lacking=lacking)", AWAITING),
    ("with all, nobody hears of a site that is lost", "lacking = awaited.lacking or site in awaited.missing & awaited.hoped", "lacking = awaited.lacking", AWAITING),
    ("with all, nobody hears of a site that is not reached", "lacking = not serving <= missing", "lacking = False", AWAITING),
    ("with all, a home agent of which nothing is heard need not forward it", "not (serves or (reflects and site not in awaited.hoped))", "(site in awaited.hoped and not serves)", UNKNOWN),
    ("a home agent that only merged is taken for a reflector", "serves or (reflects and not awaited.hoped)", "serves or not awaited.hoped", UNKNOWN),
    ("an answer to a lost site leaves twice", "                undo.drop(self._awaited, index)\n                undo.drop(self._waiting, index)\n        return answers", "        return answers", AWAITING),
)  # fmt: skip

_DURABLE = (
    ("files are written in place", 'fresh = path.with_name(path.name + ".new")', "fresh = path", DISK),
    ("a snapshot is written in place", 'fresh = path.with_name(path.name + ".new")', "fresh = path", FILES),
    ("what a full disk cut short stays there", "        fresh.unlink(missing_ok=True)  #", "        pass  #", FILES),
    ("a file has its name before its content is on the disk", "            os.fsync(file.fileno())\n", "            pass\n", DISK),
    ("a file's name is not forced to the disk", "        raise\n    _force(path.parent)\n", "        raise\n", DISK),
    ("a wish is not forced to the disk", "        raise\n    _force(path.parent)\n", "        raise\n", WISH),
    ("a removal is not forced to the disk", "    path.unlink(missing_ok=True)\n    _force(path.parent)\n", "    path.unlink(missing_ok=True)\n", DISK),
)  # fmt: skip

MUTATIONS = tuple(
    Mutation(name, file, before, after, tests)
    for file, group in (
        ("ha/record.py", _RECORD),
        ("ha/acceptance.py", _ACCEPTANCE),
        ("ha/revoke.py", _REVOKE),
        ("ha/exchange.py", _EXCHANGE),
        ("ha/readiness.py", _READINESS),
        ("ha/state.py", _STATE),
        ("ha/registration.py", _REGISTRATION),
        ("ha/frames.py", _FRAMES),
        ("ha/heartbeats.py", _HEARTBEATS),
        ("ha/cache.py", _CACHE),
        ("ha/digest.py", _DIGEST),
        ("ha/awaiting.py", _AWAITING),
        ("runtime/durable.py", _DURABLE),
    )
    for name, before, after, tests in group
)
