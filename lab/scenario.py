"""A scenario as data: which probes run, which events come when, what must be true afterwards. Pure.

    name = "line-cut"
    topology = "reference"
    [[probe]]
    from = "cn1"
    to = "lan1"
    rate_hz = 200
    [[step]]
    at_s = 1.0              # not before; a step also waits until the one before has been judged
    do = "cut"
    on = "line1"            # or several at once: ["site1", "site2"]
    expect = { shift_ms_max = 300, loss_max = "shift", serves = "site1", line = ["line2", "!line1"] }

`shift_ms_max` bounds the time in which every affected flow moved; `loss_max` is a number of probes per direction, or
"shift": only probes sent before their flow had moved may be lost. `serves` and `line` name who must (`!`: must not)
be seen carrying probes at the end of the step; a site named without `!` must also be its own ISP's choice, by that
ISP's RIB. `announced` names sites whose ISP must (`!`: must not) hold their announcement, chosen or not; `preferred`
those whose announcement there must (`!`: must not) be free of GRACEFUL_SHUTDOWN. `stays` names sites whose ISP must
hold their announcement at every look from the event on, not only in the end. Owns the format and refuses unknown keys,
verbs and names.
"""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.topology import LINES, SITES, TOPOLOGIES
from runtime.exits import Exit

SCENARIOS = Path(__file__).with_name("scenarios")
FAILING = frozenset({"cut", "freeze", "kill", "stop", "drain", "depreference", "break", "power-off"})
RETURNING = frozenset({"restore", "thaw", "start", "cont", "undrain", "mend", "power-on"})
NEITHER = frozenset({"delay", "publish", "wait", "separate", "join", "bfd-off", "bfd-on"})
VERBS = FAILING | RETURNING | NEITHER
_ON_LINES_OR_SITES = frozenset({"cut", "restore"})
_ON_SITES = VERBS - _ON_LINES_OR_SITES - {"wait", "publish", "delay"}
PROCESSES = ("xsp-ha", "bridge", "exabgp", "supervisor")
STARTED = ("xsp-ha", "supervisor")  # by us; the supervisor starts ExaBGP, which starts the bridge
DEFAULT_WINDOW_S = 1.6


@dataclass(frozen=True, slots=True)
class ProbeStream:
    """`[[probe]]`."""

    source: str
    destination: str
    rate_hz: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must be true after a step. None and empty: not asked. `nothing`: not even that a probe arrives."""

    shift_ms_max: float | None = None
    loss_max: int | None = None
    loss_in_shift_only: bool = False
    serves: tuple[str, ...] = ()
    line: tuple[str, ...] = ()
    announced: tuple[str, ...] = ()
    preferred: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    nothing: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """`[[step]]`.

    `on`: what it is done to, all at once; `process`: which processes of each site, for kill, stop, cont and start;
    `window_s`: watch at least so long.
    """

    at_s: float
    do: str
    on: tuple[str, ...]
    expect: Expectation
    process: tuple[str, ...] = ("xsp-ha",)
    window_s: float = DEFAULT_WINDOW_S
    delay_ms: float = 0.0
    say: str = ""

    @property
    def where(self) -> str:
        """What it is done to, for people and reports."""
        return ", ".join(self.on)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole file."""

    name: str
    topology: str
    probes: tuple[ProbeStream, ...]
    steps: tuple[Step, ...]
    title: str = ""


def find(name: str) -> Path:
    """The file of a scenario, by path or by the name of one that comes with the lab. Raises: LabError."""
    for path in (Path(name), SCENARIOS / f"{name}.toml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in SCENARIOS.glob("*.toml")))
    raise LabError(f"there is no scenario {name}", f"name a file or one of {known}", Exit.USAGE)


def load(path: Path) -> Scenario:
    """Read a scenario. Raises: LabError naming the place."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabError(f"{path} is not a scenario: {error}", "correct it", Exit.USAGE) from error
    return parse(document, path.name)


def relaxed(scenario: Scenario, factor: float) -> Scenario:
    """The same scenario with so many times the time allowed: for busy machines, where order and loss still count."""
    steps = []
    for step in scenario.steps:
        bound = step.expect.shift_ms_max
        expect = replace(step.expect, shift_ms_max=None if bound is None else bound * factor)
        steps.append(replace(step, expect=expect))
    return replace(scenario, steps=tuple(steps))


def parse(document: dict[str, Any], where: str) -> Scenario:
    """Check a parsed document. Raises: LabError naming the place."""
    keys = _Keys(document, where)
    name, topology, title = keys.take("name", str), keys.take("topology", str, "reference"), keys.take("title", str, "")
    if topology not in TOPOLOGIES:
        raise keys.wrong(f"topology {topology!r} is unknown")
    hosts = TOPOLOGIES[topology]().hosts
    rows = enumerate(keys.take("probe", list), 1)
    probes = tuple(_probe(_Keys(row, f"{where}: probe {n}"), hosts) for n, row in rows)
    steps = tuple(_step(_Keys(row, f"{where}: step {n}")) for n, row in enumerate(keys.take("step", list), 1))
    keys.done()
    if not probes or not steps:
        raise keys.wrong("at least one probe and one step are needed")
    if list(steps) != sorted(steps, key=lambda step: step.at_s):
        raise keys.wrong("the steps are not in the order of at_s")
    return Scenario(name, topology, probes, steps, title)


def _probe(keys: "_Keys", hosts: tuple[str, ...]) -> ProbeStream:
    stream = ProbeStream(keys.take("from", str), keys.take("to", str), float(keys.take("rate_hz", (int, float))))
    keys.done()
    if {stream.source, stream.destination} - set(hosts) or stream.source == stream.destination:
        raise keys.wrong(f"from and to are two of {', '.join(hosts)}")
    if not 1 <= stream.rate_hz <= 1000:
        raise keys.wrong("rate_hz lies outside 1 to 1000")
    return stream


def _step(keys: "_Keys") -> Step:
    step = Step(
        at_s=float(keys.take("at_s", (int, float), 0)),
        do=keys.take("do", str),
        on=_texts(keys, "on", ()),
        expect=_expectation(_Keys(keys.take("expect", dict, {}), f"{keys.where}: expect")),
        process=_texts(keys, "process", ("xsp-ha",)),
        window_s=float(keys.take("window_s", (int, float), DEFAULT_WINDOW_S)),
        delay_ms=float(keys.take("delay_ms", (int, float), 0)),
        say=keys.take("say", str, ""),
    )
    keys.done()
    if step.do not in VERBS:
        raise keys.wrong(f"do = {step.do!r} is none of {', '.join(sorted(VERBS))}")
    known = _targets(step.do)
    if known and not (step.on and set(step.on) <= set(known) and len(set(step.on)) == len(step.on)):
        raise keys.wrong(f"{step.do} does not work on {step.where!r}, but on one or more of {', '.join(known)}")
    processes = STARTED if step.do == "start" else PROCESSES
    if not step.process or set(step.process) - set(processes):
        raise keys.wrong(f"process {', '.join(step.process)!r} is none of {', '.join(processes)}")
    return step


def _targets(verb: str) -> tuple[str, ...]:
    """What a verb works on; nothing if it does not matter."""
    if verb == "delay":
        return LINES
    if verb in _ON_LINES_OR_SITES:
        return (*LINES, *SITES)
    return SITES if verb in _ON_SITES else ()


def _texts(keys: "_Keys", key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """One text, or a list of them."""
    value = keys.take(key, (str, list), default)
    found = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(text, str) for text in found):
        raise keys.wrong(f"{key} = {value!r} has the wrong type")
    return found


def _expectation(keys: "_Keys") -> Expectation:
    loss = keys.take("loss_max", (int, str), None)
    if isinstance(loss, str) and loss != "shift":
        raise keys.wrong(f'loss_max is a number or "shift", not {loss!r}')
    shift = keys.take("shift_ms_max", (int, float), None)
    found = Expectation(
        shift_ms_max=None if shift is None else float(shift),
        loss_max=loss if isinstance(loss, int) else None,
        loss_in_shift_only=loss == "shift",
        serves=_names(keys, "serves", SITES),
        line=_names(keys, "line", LINES),
        announced=_names(keys, "announced", SITES),
        preferred=_names(keys, "preferred", SITES),
        stays=_names(keys, "stays", SITES),
    )
    keys.done()
    if any(name.startswith("!") for name in found.stays):
        raise keys.wrong("stays takes no name with !")
    return found


def _names(keys: "_Keys", key: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = _texts(keys, key, ())
    for name in names:
        if name.removeprefix("!") not in known:
            raise keys.wrong(f"{key} = {name!r} is none of {', '.join(known)}, with or without !")
    return names


class _Keys:
    """The keys of one table: taken one by one, and none may be left."""

    def __init__(self, table: Any, where: str) -> None:
        self.where = where
        if not isinstance(table, dict):
            raise self.wrong("a table is wanted")
        self._left = dict(table)

    def take(self, key: str, kind: type | tuple[type, ...], *default: Any) -> Any:
        """The value of a key, checked; without a default it must be there."""
        if key not in self._left:
            if default:
                return default[0]
            raise self.wrong(f"the key {key} is missing")
        value = self._left.pop(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(f"{key} = {value!r} has the wrong type")
        return value

    def done(self) -> None:
        """Raises: LabError if a key was not taken."""
        if self._left:
            raise self.wrong(f"unknown key {next(iter(self._left))}")

    def wrong(self, what: str) -> LabError:
        """The error that names this place."""
        return LabError(f"{self.where}: {what}", "compare it with those in lab/scenarios", Exit.USAGE)
