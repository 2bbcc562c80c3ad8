"""The xsp command as an operator uses it: real processes, a real database."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Office:
    """An operator at a registry of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.registry = directory / "registry.db"
        self.programs = directory / "bin"
        self.programs.mkdir()
        (self.programs / "xsp-bgp").write_text("#!/bin/sh\n")
        (self.programs / "xsp-bgp").chmod(0o755)

    def copied(self, directory: Path) -> "Office":
        """The same registry, with its keys, in another folder."""
        copy = Office(directory)
        for file in self.directory.glob(self.registry.name + "*"):
            shutil.copy(file, directory)
        return copy

    def run(self, *words: str, database: str | None = None) -> subprocess.CompletedProcess[str]:
        url = database or f"sqlite:///{self.registry}"
        command = [sys.executable, "-m", "xsp.cli.main", "--database", url, *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    def json(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *words: str, status: int) -> str:
        """What a refused command said: exactly two sentences, nothing on stdout."""
        done = self.run(*words)
        assert (done.returncode, done.stdout) == (status, ""), (done.returncode, done.stdout, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 2
        assert "Traceback" not in done.stderr
        return done.stderr

    def add_customer(self, name: str, *more: str) -> Any:
        return self.json("customer", "add", name, "--uplink", "line1", *more)

    def render(self, site: str, output: Path) -> Any:
        return self.json("render", "--site", site, "--output", str(output), "--program-directory", str(self.programs))

    def dump(self) -> list[str]:
        with sqlite3.connect(self.registry) as connection:
            return list(connection.iterdump())


def add_site(office: Office, number: int, *more: str) -> Any:
    words = ["--locator", f"2001:db8:{number}:a::10", "--gateway", f"2001:db8:{number}:a::1"]
    return office.json("site", "add", f"site{number}", *words, "--neighbour-as", str(64500 + number), *more)
