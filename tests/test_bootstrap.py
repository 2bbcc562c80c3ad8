"""bootstrap.sh where it can go wrong: packages that cannot be had, an old Python, no index, being killed half way.

Runs copies of the script whose paths lead into the test's own folder, with an `apt-get` and an `id` of the test's first
in PATH: nothing of the machine changes, and no test needs root. The good case is every `make test` itself.
"""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OWN_POLICY = "#!/bin/sh\nexit 104\n"  # what the machine's owner had there before


class Machine:
    """A place for the script to work on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy = folder / "policy-rc.d"
        self.store = folder / "store"
        self.checkout = folder / "checkout"
        self.programs = folder / "programs"
        self.checkout.mkdir()
        self.programs.mkdir()
        shutil.copy(ROOT / "requirements.lock", self.checkout)
        self.program("id", "echo 0")
        self.script = (ROOT / "bootstrap.sh").read_text()
        self.set("POLICY", str(self.policy))
        self.set("SHARED", str(self.store))
        self.need("")

    def set(self, name: str, value: str) -> None:
        """Give one of the script's constants another value."""
        (old,) = [line for line in self.script.splitlines() if line.startswith(f"{name}=")]
        self.script = self.script.replace(old, f"{name}={value}")

    def need(self, programs: str) -> None:
        """Replace the list of programs that must be there."""
        self.script = re.sub(r"^PROGRAMS=\([^)]*\)", f"PROGRAMS=({programs})", self.script, flags=re.MULTILINE)

    def program(self, name: str, text: str) -> Path:
        path = self.programs / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
        return path

    def start(self, **environment: str) -> subprocess.Popen[str]:
        script = self.checkout / "bootstrap.sh"
        script.write_text(self.script)
        path = f"{self.programs}:{os.environ['PATH']}"
        return subprocess.Popen(
            ["/bin/bash", str(script)],
            env={**os.environ, "PATH": path, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, **environment: str) -> tuple[int, str, str]:
        process = self.start(**environment)
        printed, said = process.communicate(timeout=100)
        return process.returncode, printed, said


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_packages_that_cannot_be_installed_are_named_and_the_policy_comes_back(machine: Machine) -> None:
    machine.policy.write_text(OWN_POLICY)
    machine.need('"no-such-program no-such-package"')
    machine.program("apt-get", "echo 'E: Unable to locate package no-such-package'; exit 100")
    status, printed, said = machine.run()
    assert (status, printed) == (4, "")
    assert "E: Unable to locate package no-such-package" in said
    assert "the Debian packages no-such-package are missing" in said
    assert "apt-get install no-such-package" in said
    assert machine.policy.read_text() == OWN_POLICY


def test_no_service_may_start_while_packages_are_installed(machine: Machine) -> None:
    machine.need('"no-such-program no-such-package"')
    machine.program("apt-get", f"'{machine.policy}'; echo $? >>'{machine.folder}/verdicts'; exit 100")
    machine.run()
    assert (machine.folder / "verdicts").read_text().split() == ["101", "101"]  # update, install
    assert not machine.policy.exists()


def test_the_policy_comes_back_when_the_installation_is_interrupted(machine: Machine) -> None:
    machine.policy.write_text(OWN_POLICY)
    machine.need('"no-such-program no-such-package"')
    machine.program("apt-get", "kill -TERM $PPID; exit 100")
    process = machine.start()
    process.communicate(timeout=100)
    assert process.returncode == 130
    assert machine.policy.read_text() == OWN_POLICY


def test_the_policy_of_a_killed_run_comes_back_with_the_next(machine: Machine) -> None:
    machine.policy.write_text(OWN_POLICY)
    machine.need('"no-such-program no-such-package"')
    machine.program("apt-get", "kill -KILL $PPID")
    process = machine.start()
    process.communicate(timeout=100)
    assert process.returncode == -signal.SIGKILL
    assert machine.policy.read_text() != OWN_POLICY
    machine.program("apt-get", "exit 100")
    machine.run()
    assert machine.policy.read_text() == OWN_POLICY
    assert sorted(path.name for path in machine.folder.glob("policy*")) == ["policy-rc.d"]


def test_without_apt_the_missing_packages_are_named(machine: Machine) -> None:
    machine.need('"no-such-program no-such-package"')
    machine.script = machine.script.replace("command -v apt-get", "command -v no-such-apt")
    status, printed, said = machine.run()
    assert (status, printed) == (4, "")
    assert "there is no apt-get: no-such-package" in said


def test_an_old_python_is_refused(machine: Machine) -> None:
    python = machine.program("python3", '[ "$1" != -V ] || echo Python 3.9.2; [[ "$2" != *version_info* ]]')
    machine.set("PYTHON", str(python))
    status, printed, said = machine.run()
    assert (status, printed) == (4, "")
    assert "Python 3.9.2" in said
    assert "3.11 or newer" in said


def test_without_a_package_index_one_sentence_says_so(machine: Machine) -> None:
    status, printed, said = machine.run(PIP_NO_INDEX="1", PIP_FIND_LINKS="", PIP_CONFIG_FILE=os.devnull)
    assert (status, printed) == (4, "")
    assert "pip could not install them" in said
    assert "with a package index within reach, try again" in said
    assert not list(machine.store.glob("venv-*/complete"))
