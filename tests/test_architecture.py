"""The house rules that a machine can check: who imports whom, which files are pure, how long a file may be.

Reads source with `ast`, imports nothing of it. `violations(root)` works on any tree of this shape, so the rules are
tested on copies into which one offence each was planted. A new exception is a line in this file, with its reason.
"""

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 400

# Folder -> the other folders it may import. `lab` and `tests` may import all; nothing imports those two.
FOLDERS: dict[str, set[str]] = {
    "mip6": set(),
    "dataplane": set(),
    "runtime": set(),
    "xsp": set(),
    "templates": set(),
    "bgp": {"runtime"},
    "ha": {"mip6", "dataplane", "runtime"},
    "mr": {"mip6", "dataplane", "runtime"},
    "lab": {"mip6", "dataplane", "runtime", "xsp", "templates", "bgp", "ha", "mr"},
}

# File -> modules of other folders it may import beyond its folder's rule.
ALSO: dict[str, set[str]] = {
    "ha/daemon.py": {"bgp.route", "bgp.client"},
    "xsp/check.py": {"ha.config", "ha.credentials", "mr.config", "bgp.config", "bgp.errors"},
    "xsp/neighbours.py": {"bgp.route"},  # what an UPDATE can carry is said in one place
}

# Sockets, files, clocks, processes. All other files are pure. `lab` is practice, not product: all edge but for these.
EDGES: tuple[str, ...] = (
    "bgp/__main__.py",
    "bgp/bfd.py",
    "bgp/bridge.py",
    "bgp/client.py",
    "bgp/launch.py",
    "bgp/megaphones.py",
    "bgp/reload.py",
    "bgp/running.py",
    "bgp/supervisor.py",
    "dataplane/accounting.py",
    "dataplane/capacity.py",
    "dataplane/egress.py",
    "dataplane/filter.py",
    "dataplane/linux.py",
    "dataplane/netlink.py",
    "dataplane/nfnetlink.py",
    "dataplane/probe.py",
    "dataplane/relay.py",
    "dataplane/router.py",
    "dataplane/sysctl.py",
    "dataplane/tun.py",
    "dataplane/tunnels.py",
    "dataplane/watch.py",
    "ha/__main__.py",
    "ha/accounting_command.py",
    "ha/credential_files.py",
    "ha/credentials.py",
    "ha/daemon.py",
    "ha/kernel.py",
    "ha/load.py",
    "ha/operator.py",
    "ha/past.py",
    "ha/peerlink.py",
    "ha/purge.py",
    "ha/stream.py",
    "ha/self_test.py",
    "ha/reflector.py",
    "ha/snapshot.py",
    "ha/snapshot_file.py",
    "ha/start.py",
    "ha/table_file.py",
    "ha/wish_file.py",
    "mip6/mhsocket.py",
    "mr/__main__.py",
    "mr/daemon.py",
    "mr/linkwatch.py",
    "mr/rtnetlink.py",
    "mr/secret.py",
    "runtime/control.py",
    "runtime/durable.py",
    "runtime/history_file.py",
    "runtime/journal.py",
    "runtime/log.py",
    "runtime/loop.py",
    "runtime/metrics.py",
    "runtime/notify.py",
    "xsp/certificates.py",
    "xsp/check.py",
    "xsp/database.py",
    "xsp/files.py",
    "xsp/neighbours.py",
    "xsp/registry.py",
    "xsp/roles.py",
    "xsp/vault.py",
)
IMPURE = {"asyncio", "socket", "time", "random", "os", "subprocess", "threading", "logging", "pyroute2"} | {
    "fcntl",
    "multiprocessing",
    "secrets",
    "select",
    "selectors",
    "shutil",
    "signal",
    "tempfile",
}
CONVERSIONS = {"socket": {"AF_INET", "AF_INET6", "inet_pton"}}  # from there, but nothing of the world

# Third-party package -> the files that may import it. `lab` and `tests` may import what they like.
THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "cryptography": ("ha/customer_table.py", "ha/credentials.py", "xsp/*.py"),  # signatures, certificates, keys at rest
    "jinja2": ("xsp/render.py",),
    "msgspec": ("ha/*.py",),  # frames, and values that are made often or live long
    "prometheus_client": ("runtime/metrics.py",),
    "pydantic": ("*/config.py",),
    "pydantic_core": ("*/config.py",),
    "pyroute2": ("dataplane/*.py",),
    "rich": ("xsp/cli/*.py",),
    "sqlalchemy": ("xsp/*.py",),
    "structlog": ("runtime/log.py",),
    "typer": ("xsp/cli/*.py",),
}

# STYLE's banned names: each says that its file has no subject.
BANNED_NAME = re.compile(r"(^|_)(utils?|common|helpers?|manager|handler|base|misc|core)(_|$)")


class Import(NamedTuple):
    """One imported module and the line that imports it."""

    module: str
    line: int


def violations(root: Path) -> list[str]:
    """Every broken rule below `root`, as `file:line: what`."""
    found = [broken for path in sources(root) for broken in _of_file(root, path)]
    found += [f"{name}: listed as an edge but not there" for name in EDGES if not (root / name).is_file()]
    return [*found, *_of_bridge(root)]


def sources(root: Path) -> Iterator[Path]:
    """All Python files of the product, then of the tests."""
    for folder in (*FOLDERS, "tests"):
        yield from sorted((root / folder).rglob("*.py"))


def _of_file(root: Path, path: Path) -> Iterator[str]:
    name = path.relative_to(root).as_posix()
    text = path.read_text()
    lines = text.count("\n")
    if lines > MAX_LINES:
        yield f"{name}:{lines}: longer than {MAX_LINES} lines: split it"
    folder = name.partition("/")[0]
    if folder == "tests":
        return
    if BANNED_NAME.search(path.stem):
        yield f"{name}:1: the name says nothing: call the file after its subject"
    tree = ast.parse(text)
    if not ast.get_docstring(tree):
        yield f"{name}:1: no docstring: say what the file owns and what it refuses"
    for imported in imports(tree, name, root):
        for broken in (_wrong_folder(name, imported), _wrong_party(name, imported), _impure(root, name, imported)):
            if broken:
                yield f"{name}:{imported.line}: {broken}"


def imports(tree: ast.Module, name: str, root: Path) -> Iterator[Import]:
    """What a file imports, wherever in it; `from a import b` counts as a.b where b is a module."""
    package = PurePosixPath(name).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            if {alias.name for alias in node.names} <= CONVERSIONS.get(module, set()):
                continue
            submodules = [alias.name for alias in node.names if _file_of(root, f"{module}.{alias.name}")]
            for submodule in submodules:
                yield Import(f"{module}.{submodule}", node.lineno)
            if len(submodules) < len(node.names):
                yield Import(module, node.lineno)


def _file_of(root: Path, module: str) -> str | None:
    stem = module.replace(".", "/")
    return next((file for file in (f"{stem}.py", f"{stem}/__init__.py") if (root / file).is_file()), None)


def _wrong_folder(name: str, imported: Import) -> str | None:
    folder, target = name.partition("/")[0], imported.module.partition(".")[0]
    if target == "tests" or (target == "lab" and folder != "lab"):
        return f"imports {imported.module}: nothing imports {target}"
    if target not in FOLDERS or target == folder or target in FOLDERS[folder]:
        return None
    return None if imported.module in ALSO.get(name, set()) else f"imports {imported.module}: {folder} may not"


def _wrong_party(name: str, imported: Import) -> str | None:
    target = imported.module.partition(".")[0]
    if name.startswith("lab/") or target in FOLDERS or target == "tests" or target in sys.stdlib_module_names:
        return None
    if any(fnmatch(name, pattern) for pattern in THIRD_PARTY.get(target, ())):
        return None
    return f"imports {target}: not among this file's third-party packages"


def _impure(root: Path, name: str, imported: Import) -> str | None:
    if is_edge(name):
        return None
    if imported.module.partition(".")[0] in IMPURE:
        return f"imports {imported.module}: this file is pure"
    target = _file_of(root, imported.module)
    if target and is_edge(target) and target.partition("/")[0] == name.partition("/")[0]:
        return f"imports {imported.module}: a pure file builds on no edge"
    return None


def is_edge(name: str) -> bool:
    """Whether a file may touch the world."""
    return name in EDGES or name.startswith(("lab/", "xsp/cli/"))


def _of_bridge(root: Path) -> Iterator[str]:
    """The bridge and all it imports of ours is pure `bgp` and standard library: it carries nothing into ExaBGP."""
    waiting, seen = ["bgp/bridge.py"], set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        for imported in imports(ast.parse((root / name).read_text()), name, root):
            target = _file_of(root, imported.module)
            if target is None and imported.module.partition(".")[0] in sys.stdlib_module_names:
                continue
            if target is None or not target.startswith("bgp/") or is_edge(target):
                yield f"{name}:{imported.line}: imports {imported.module}: ExaBGP's child loads it"
            elif target not in seen:
                waiting.append(target)


def test_the_tree_keeps_the_rules() -> None:
    assert violations(ROOT) == []


@pytest.fixture(scope="module")
def present() -> set[str]:
    """What is wrong with the tree as it is: a planted offence must come on top."""
    return set(violations(ROOT))


OFFENCES = [
    ("mip6/sequence.py", "import ha.record", "mip6 may not"),
    ("runtime/counters.py", "from mip6 import wire", "runtime may not"),
    ("ha/record.py", "from xsp import model", "ha may not"),
    ("ha/record.py", "from bgp.route import Route", "ha may not"),
    ("ha/daemon.py", "from bgp import supervisor", "ha may not"),
    ("mr/stamp.py", "import lab", "nothing imports lab"),
    ("bgp/speaker.py", "from tests import fakes", "nothing imports tests"),
    ("ha/record.py", "import time", "this file is pure"),
    ("mip6/wire.py", "def f() -> None:\n    from os import path", "this file is pure"),
    ("ha/record.py", "from . import daemon", "a pure file builds on no edge"),
    ("ha/record.py", "import structlog", "not among this file's third-party packages"),
    ("bgp/route.py", "import pydantic", "ExaBGP's child loads it"),
    ("bgp/bridge.py", "from runtime import exits", "ExaBGP's child loads it"),
    ("mip6/wire.py", "\n" * MAX_LINES, "longer than"),
]


@pytest.mark.parametrize(("file", "planted", "told"), OFFENCES)
def test_one_planted_offence_is_found(tmp_path: Path, present: set[str], file: str, planted: str, told: str) -> None:
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{planted}\n")
    new = set(violations(tmp_path)) - present
    assert any(line.startswith(f"{file}:") and told in line for line in new), new


def test_a_file_without_subject_or_docstring_is_found(tmp_path: Path) -> None:
    (tmp_path / "bgp").mkdir()
    (tmp_path / "bgp/bridge.py").touch()
    (tmp_path / "bgp/prefix_utils.py").touch()
    told = [line for line in violations(tmp_path) if line.startswith("bgp/prefix_utils.py")]
    assert len(told) == 2
