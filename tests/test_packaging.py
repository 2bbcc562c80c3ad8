"""What setup.cfg, requirements.lock and the code say about each other."""

import ast
import configparser
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.test_architecture import FOLDERS

ROOT = Path(__file__).resolve().parents[1]
LOCKED = re.compile(r"^([a-z0-9-]+)==[^ ]+ \\$")


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def lines(text: str) -> list[str]:
    """The words of a list in setup.cfg."""
    return [line for line in text.split("\n") if line]


def test_every_package_is_listed(setup: configparser.ConfigParser) -> None:
    there = {path.parent.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert sorted(lines(setup["options"]["packages"])) == sorted(".".join(path.parts) for path in there)


def test_every_other_file_of_a_package_is_installed_with_it(setup: configparser.ConfigParser) -> None:
    rules = {folder: lines(patterns.replace(",", "\n")) for folder, patterns in setup["options.package_data"].items()}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                name = path.relative_to(ROOT / folder).as_posix()
                assert any(fnmatch(name, rule.strip()) for rule in rules.get(folder, [])), path


def test_every_program_has_its_function(setup: configparser.ConfigParser) -> None:
    for line in lines(setup["options.entry_points"]["console_scripts"]):
        module, _, function = line.partition(" = ")[2].partition(":")
        tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
        assert any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body), line


def test_every_requirement_is_locked_with_hashes_and_nothing_of_one_machine(setup: configparser.ConfigParser) -> None:
    text = (ROOT / "requirements.lock").read_text()
    rest = [line for line in text.splitlines() if line and not line.startswith(("#", "    --hash=sha256:"))]
    locked = [found[1] for line in rest if (found := LOCKED.match(line))]
    assert len(locked) == len(rest), [line for line in rest if not LOCKED.match(line)]
    asked = "\n".join([setup["options"]["install_requires"], *setup["options.extras_require"].values()])
    assert {line.split()[0] for line in lines(asked)} <= set(locked)


@pytest.mark.parametrize("program", ["xsp.cli.main", "mr.__main__"])
def test_help_loads_no_database(program: str) -> None:
    code = (
        f"import sys; from {program} import main; sys.argv[1:] = ['--help']\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "assert 'sqlalchemy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "xsp" in done.stdout
