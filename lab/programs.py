"""Where the project's programs are: console scripts beside the interpreter, else the packages of this source tree.

Owns that decision alone. ExaBGP starts the bridge by the path of an executable file, as an unprivileged user: for a
source tree without console scripts a small one is written into the run folder.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_MODULES = {
    "xsp": "xsp.cli.main",
    "xsp-ha": "ha.__main__",
    "xsp-mr": "mr.__main__",
    "xsp-bgp": "bgp.__main__",
}
_SCRIPT = """\
#!{interpreter}
import sys
sys.path.insert(0, {root!r})
from {module} import main
sys.exit(main())
"""


class Programs:
    """The programs of one lab, as files that can be executed."""

    def __init__(self, run_folder: Path) -> None:
        # Resolved: through a link below a 0700 folder the unprivileged user could not go.
        beside = Path(sys.prefix).resolve() / "bin"
        installed = all((beside / name).exists() for name in _MODULES)
        self.directory = beside if installed else run_folder / "bin"
        if not installed:
            self.directory.mkdir(exist_ok=True)
            for name, module in _MODULES.items():
                script = self.directory / name
                script.write_text(_SCRIPT.format(interpreter=sys.executable, root=str(ROOT), module=module))
                script.chmod(0o755)

    def path(self, name: str) -> str:
        """The file of a program."""
        return str(self.directory / name)
