"""A site with two neighbours on one link, both FRR, each a bgpd of its own that listens on an address of its own."""

import contextlib
import json
import shutil
import subprocess
from typing import Any

from tests.bgp.site_and_isp import (
    AGGREGATE,
    BGP_TOML,
    EXABGP_CONFIGURATION,
    FRR_CONFIGURATION,
    ISP,
    LOCATOR,
    Site,
    run,
    wait_for,
)

SECOND, SECOND_AS = "2001:db8:1:a::2", 64502
_HEAD, _BRACE, _REST = EXABGP_CONFIGURATION.partition("neighbor ")
BLOCK = _BRACE + _REST


class TwoIsps(Site):
    """The first neighbour is that of `Site`; the second is there, and the site's files say nothing of it yet."""

    def build(self) -> None:
        super().build()
        run("ip", "-n", self.isp, "address", "add", f"{SECOND}/64", "dev", "site", "nodad")
        place = self.directory / "second"
        place.mkdir()
        text = FRR_CONFIGURATION.replace("64501", str(SECOND_AS)).replace("192.0.2.101", "192.0.2.102")
        (place / "frr.conf").write_text(text)
        for path in (place, place / "frr.conf"):
            shutil.chown(path, "frr", "frr")
        words = ["/usr/lib/frr/bgpd", "-l", SECOND, "-f", str(place / "frr.conf"), "-i", str(place / "bgpd.pid")]
        words += ["-z", str(self.directory / "frr" / "zserv.api"), "--vty_socket", str(place), "-P", "0"]
        self.start(self.isp, *words, "--log", f"file:{place}/bgpd.log")
        wait_for("the second bgpd's vty", (place / "bgpd.vty").exists)

    def start(self, namespace: str, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        if command[0].endswith("/bgpd") and "-l" not in command:
            command = (command[0], "-l", ISP, *command[1:])  # it would take the second one's port as well
        return super().start(namespace, *command, **options)

    def configure(self, *blocks: str, terms: str = "", first: str = BLOCK) -> None:
        """Render both files anew: the first neighbour, these others, and their tables for bgp.toml."""
        texts = {"exabgp.conf": _HEAD + first + "".join(blocks), "bgp.toml": BGP_TOML + terms}
        for name, text in texts.items():
            file = self.directory / name
            file.write_text(text.replace("PROGRAM", str(self.program)).replace("DIRECTORY", str(self.directory)))

    def reload(self) -> tuple[int, str]:
        """Exit status of `xsp-bgp reload`, and what it said."""
        words = (str(self.program), "reload", "--config", str(self.config))
        done = subprocess.run(words, capture_output=True, check=False, timeout=60)
        return done.returncode, (done.stdout + done.stderr).decode()

    def session(self, place: str = "second") -> tuple[int, int, str]:
        """What a neighbour says of its session with us: how often it came up, updates received, its state now."""
        rows = json.loads(self.ask(place, f"show bgp neighbors {LOCATOR} json"))
        row = rows[LOCATOR]
        return row["connectionsEstablished"], row["messageStats"]["updatesRecv"], row["bgpState"]

    def heard_by(self, place: str) -> dict[str, Any] | None:
        """The aggregate in a neighbour's RIB."""
        with contextlib.suppress(ValueError):
            paths = json.loads(self.ask(place, f"show bgp ipv6 unicast {AGGREGATE} json")).get("paths")
            return paths[0] if paths else None
        return None

    def ask(self, place: str, question: str) -> str:
        return run("vtysh", "--vty_socket", str(self.directory / place), "-c", question, check=False)


def block(*lines: str, autonomous_system: int = SECOND_AS) -> str:
    """The second neighbour in exabgp.conf."""
    text = BLOCK.replace(f"neighbor {ISP} ", f"neighbor {SECOND} ").replace("64501", str(autonomous_system))
    return text.replace("    hold-time", "".join(f"    {line}\n" for line in lines) + "    hold-time")


def terms(*lines: str, autonomous_system: int = SECOND_AS) -> str:
    """The second neighbour in bgp.toml."""
    return "\n".join(["", "[[neighbour]]", f'address = "{SECOND}"', f"as = {autonomous_system}", *lines, ""])
