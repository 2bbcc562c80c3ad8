"""The rows of `make lab-bench` as data: what is done to a lab, how fast traffic must have moved, what may be lost.

A row is played `--runs` times: its preparations, the event, the way back. Its shift is that of the event, or, where
`returns` is set, the time until the first probe is served by what came back. A loss is allowed as `loss` says: a
number of milliseconds worth of probes in each direction, or `SHIFT`: none but within the shift.
"""

from dataclasses import dataclass, replace

from lab.scenario import Expectation, Step
from lab.topology import SITES

SHIFT = "shift"
NEAREST, LAST = SITES[0], SITES[-1]
WATCH_S = 1.0
BACK = Expectation(serves=(NEAREST,), announced=SITES, preferred=SITES, line=("line1", "line2"))


@dataclass(frozen=True, slots=True)
class Setting:
    """A lab to play rows on. `stir`: an update just before each event, so that advertisement intervals count."""

    name: str
    rows: tuple[str, ...] = ()  # empty: all
    topology: str = "failover"
    mrai_s: int = 0
    crowd: bool = False  # 100,000 customers, all bound, beside the one that is watched
    runs: int = 10  # unless told otherwise
    healthcheck: bool = False  # ExaBGP's own application in place of xsp-bgp, which has no bridge and no supervisor

    @property
    def stir(self) -> bool:
        """Whether updates must be under way at the moment of the event."""
        return self.mrai_s > 0

    @property
    def window_s(self) -> float:
        """How long to watch at least: a site stays depreferenced for twice the interval before it withdraws."""
        return 2.0 * self.mrai_s + 4.0 if self.mrai_s else 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One event. `bound_ms` None: nothing has to move."""

    name: str
    event: Step
    back: tuple[Step, ...]
    bound_ms: float | None
    loss: float | str
    before: tuple[Step, ...] = ()
    returns: bool = False
    may_stay: bool = False  # the site serves on: that nothing moves, and nothing is lost, is as good
    needs: str = ""  # a part of the product without which the row cannot be played
    brakes: bool = False  # what is asked is that nobody withdraws, not even for a moment: the event says who `stays`


def _step(
    do: str, on: tuple[str, ...] = (), window_s: float = WATCH_S, process: str = "xsp-ha", **expect: object
) -> Step:
    return Step(0.0, do, on, Expectation(**expect), (process,), window_s)  # type: ignore[arg-type]


def _failing(do: str, process: str = "xsp-ha", window_s: float = WATCH_S) -> Step:
    return _step(do, (NEAREST,), window_s, process, serves=(f"!{NEAREST}",))


def _back(do: str, on: tuple[str, ...] = (NEAREST,), process: str = "xsp-ha", window_s: float = 0.3) -> Step:
    return Step(0.0, do, on, BACK, (process,), window_s)


def _stays(do: str, on: tuple[str, ...], window_s: float) -> Step:
    """Something that must make these sites less preferred, and no more than that, not for a moment."""
    return _step(do, on, window_s, announced=on, stays=on, preferred=tuple(f"!{site}" for site in on))


_KILLED = Row("xsp-ha SIGKILL", _failing("kill"), (_back("start"),), 450, 0)
_WITHOUT_BFD = (_step("bfd-off", (NEAREST,), 0.3, preferred=SITES),)
ANOTHER_EXABGP = (_failing("kill", "supervisor"), _back("start", process="supervisor"))
_TWO_GONE = _step("cut", SITES[:2], serves=(LAST,), announced=(LAST,))

ROWS: tuple[Row, ...] = (
    Row("data plane fails", _failing("break"), (_back("mend"),), 300, SHIFT, needs="the self-test"),
    Row("soft failure", _failing("depreference"), (_back("undrain"),), 130, 0, needs="xsp-ha depreference"),
    Row("drain", _failing("drain", window_s=2.0), (_back("undrain"),), None, 0),
    _KILLED,
    Row("xsp-ha SIGSTOP", _failing("stop"), (_back("cont"),), 450, 0),
    Row("bridge SIGKILL", _step("kill", (NEAREST,), process="bridge"), (_back("wait", ()),), 200, 0, may_stay=True),
    Row("bridge SIGSTOP", _step("stop", (NEAREST,), 2.0, "bridge"), (_back("wait", ()),), 1000, 0, may_stay=True),
    Row("ExaBGP SIGKILL", _step("kill", (NEAREST,), process="exabgp"), (_back("wait", ()),), 150, 60),
    Row("ExaBGP SIGSTOP", _step("stop", (NEAREST,), 2.0, "exabgp"), (_back("wait", ()),), 1000, 60),
    Row("supervisor SIGKILL", ANOTHER_EXABGP[0], ANOTHER_EXABGP[1:], 450, 60),
    Row("site link down", _failing("cut"), (_back("restore"),), 150, SHIFT),
    Row("site silent (BFD 50 x 3)", _failing("freeze"), (_back("thaw"),), 300, SHIFT),
    Row(
        "site silent (no BFD)",
        _failing("freeze", window_s=4.0),
        (_back("thaw"), _back("bfd-on")),
        3000,
        SHIFT,
        before=_WITHOUT_BFD,
    ),
    Row("site rebooted: back in service", _failing("power-off"), (_back("power-on"),), 30_000, 0, returns=True),
    Row("two sites at once of three", _TWO_GONE, (_back("restore", SITES[:2]),), 150, SHIFT),
    Row(
        "then xsp-ha of the last one SIGKILL",
        _step("kill", (LAST,), 4.0, serves=(LAST,), announced=(LAST,), stays=(LAST,)),
        (_step("start", (LAST,), 0.3, serves=(LAST,)), _back("restore", SITES[:2])),
        None,
        0,
        before=(replace(_TWO_GONE, window_s=4.0),),  # silent for 3 s: only then it knows that it is alone
        brakes=True,
    ),
    Row(
        "soft failure at all sites",
        _stays("depreference", SITES, 4.0),
        (_back("undrain", SITES),),
        None,
        0,
        needs="xsp-ha depreference",
        brakes=True,
    ),
    Row("xsp-ha SIGKILL at all sites", _stays("kill", SITES, 4.0), (_back("start", SITES),), None, 0, brakes=True),
    Row("HAHA cut between all sites", _stays("separate", SITES, 6.0), (_back("join", SITES),), None, 0, brakes=True),
)


SETTINGS: tuple[Setting, ...] = (
    Setting("plain"),
    Setting(
        "healthcheck",
        rows=tuple(row.name for row in ROWS if row.event.process not in (("bridge",), ("supervisor",))),
        healthcheck=True,
    ),
    Setting(
        "another way is held already",
        rows=(
            "data plane fails",
            "soft failure",
            "xsp-ha SIGKILL",
            "bridge SIGKILL",
            "bridge SIGSTOP",
            "ExaBGP SIGKILL",
            "ExaBGP SIGSTOP",
            "site link down",
        ),
        topology="failover-mesh",
    ),
    Setting("MRAI 5 s", rows=("soft failure", "drain", "xsp-ha SIGKILL"), mrai_s=5),
    Setting(
        "100k customers",
        rows=(
            "data plane fails",
            "soft failure",
            "drain",
            "xsp-ha SIGKILL",
            "xsp-ha SIGSTOP",
            "bridge SIGKILL",
            "bridge SIGSTOP",
            "ExaBGP SIGKILL",
            "ExaBGP SIGSTOP",
            "supervisor SIGKILL",
            "site rebooted: back in service",
        ),
        crowd=True,
    ),
    Setting("MRAI 30 s", rows=("soft failure", "drain", "xsp-ha SIGKILL"), mrai_s=30, runs=3),
)


def rows_of(setting: Setting) -> tuple[Row, ...]:
    """The rows played in a setting, changed as it asks."""
    return tuple(_in(setting, row) for row in ROWS if not setting.rows or row.name in setting.rows)


def _in(setting: Setting, row: Row) -> Row:
    event = replace(row.event, window_s=max(row.event.window_s, setting.window_s))
    if setting.healthcheck:
        undo = "start" if row.event.do == "kill" else "cont"  # nobody else does it there
        back = tuple(_back(undo, process="exabgp") if step.do == "wait" else step for step in row.back)
        if row.brakes:
            expect = Expectation(nothing=True)  # how many probes are lost in the same time is the comparison
            back = (*(replace(step, expect=expect) for step in back[:-1]), back[-1])
        elif event.on == (NEAREST,):
            expect = replace(event.expect, serves=(f"!{NEAREST}",))
        else:
            expect = event.expect
        return replace(row, event=replace(event, expect=expect), back=back, bound_ms=None, loss=float("inf"))
    # With an advertisement interval the shift is the ISPs' to decide; what must hold is that nothing is lost.
    return replace(row, event=event, bound_ms=None if setting.mrai_s else row.bound_ms)
