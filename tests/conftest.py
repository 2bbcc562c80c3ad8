"""Rules that hold for every test: root, skips, unique lab ids, no namespace left behind, repeatable random examples.

Owns the `netns` marker's meaning and the list of skips that are allowed as root. Refuses, as root, to call a run good
in which a test was skipped for any other reason: a test nobody runs protects nobody.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from hypothesis import Phase, settings

from dataplane.driver import Driver
from tests import beside, tunnels

NAMESPACES = Path("/run/netns")
OURS = re.compile(r"x[0-9a-z]+-")  # x<lab id>-<node>
NEEDS_ROOT = "builds network namespaces, which needs root"

# Skips that are right even as root: start of the test's node id, then words from the reason.
ALLOWED_SKIPS: tuple[tuple[str, str], ...] = ()

# The same examples in every run, whatever was found before; more of them, and random, belong to a longer run.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
# For those who only ask whether a test fails (tests/mutants): a smaller example of it takes longer than all the rest.
settings.register_profile(
    "unshrunk", settings.get_profile("repeatable"), phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--lab-lock",
        metavar="FILE",
        help="hold this lock throughout: no other lab runs, so any new namespace of a lab is ours",
    )
    parser.addoption(
        "--every-combination", action="store_true", help="kill and stop every pair of processes, not a few"
    )
    parser.addoption(
        "--crowd", type=int, default=0, metavar="N", help="run the home agents of these tests beside so many customers"
    )
    parser.addoption("--moments", type=int, default=3, help="so often any site is killed, stopped or cut off")
    parser.addoption("--moments-seed", type=int, default=1, help="which moments, and which losses between the sites")
    parser.addoption("--driver", choices=list(Driver), help="make tunnels with this driver, not with the first offered")


def pytest_configure(config: pytest.Config) -> None:
    if asked := config.getoption("--driver"):
        tunnels.ask(asked)
    beside.ask(config.getoption("--crowd"))
    if not hasattr(config, "workerinput"):  # a worker of pytest-xdist only runs tests; the controller judges
        config.pluginmanager.register(Judge(config), "judge")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("netns"):
                item.add_marker(pytest.mark.skip(reason=NEEDS_ROOT))


@pytest.fixture(scope="session")
def new_lab_id() -> Callable[[], str]:
    """Gives a lab id that no other lab on this machine has, each time it is called."""
    given: set[str] = set()

    def new() -> str:
        while (lab_id := secrets.token_hex(3)) in given or any(NAMESPACES.glob(f"x{lab_id}-*")):
            pass
        given.add(lab_id)
        return lab_id

    return new


def is_allowed(node_id: str, reason: str) -> bool:
    """Whether a skip is on the list."""
    return any(node_id.startswith(start) and words in reason for start, words in ALLOWED_SKIPS)


def namespaces() -> set[str]:
    """Every lab's namespaces on this machine."""
    return {path.name for path in NAMESPACES.glob("x*-*") if OURS.match(path.name)}


class Judge:
    """Looks at the whole run: what was skipped, what was left behind."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._lock: IO[str] | None = None
        self._before: set[str] = set()
        self._skipped: dict[str, str] = {}
        self._seen_in: dict[str, str] = {}  # namespace -> the test during which it appeared

    def pytest_sessionstart(self) -> None:
        path: str | None = self._config.getoption("--lab-lock")
        if not path or os.geteuid() != 0 or hasattr(self._config, "workerinput"):
            return  # with several workers it is the one above them that holds the lock
        self._lock = Path(path).open("w")  # noqa: SIM115  held to the end; closed on exec, so no daemon inherits it
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            terminal = self._config.pluginmanager.get_plugin("terminalreporter")
            if terminal is not None:
                terminal.write_line(f"Waiting for another lab on this machine to end ({path}).", flush=True)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._before = namespaces()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note_skip(report)
        if self._lock and report.when == "call":
            for name in namespaces() - self._before:
                self._seen_in.setdefault(name, report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note_skip(report)

    def _note_skip(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            where = report.longrepr
            self._skipped[report.nodeid] = where[2] if isinstance(where, tuple) else str(where)

    def _bad_skips(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        return [f"{node_id}: {why}" for node_id, why in self._skipped.items() if not is_allowed(node_id, why)]

    def _left_behind(self) -> list[str]:
        if not self._lock:
            return []  # another lab may run beside us: a new namespace says nothing
        return [f"{name}, first seen in {self._seen_in.get(name, '?')}" for name in namespaces() - self._before]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and (
            self._bad_skips() or self._left_behind()
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for title, lines, bad in (
            ("skipped", [f"{node_id}: {why}" for node_id, why in self._skipped.items()], False),
            ("skipped as root and not on the allowed list: the run fails", self._bad_skips(), True),
            ("namespaces left behind: the run fails", self._left_behind(), True),
        ):
            if lines:
                terminalreporter.section(title, red=bad, yellow=not bad)
                for line in sorted(lines):
                    terminalreporter.line(line)
