"""`python -m tests.guest WORDS ...`: run a command in a guest that has Debian's kernel and, read-only, our files.

The guest is emulated in software (QEMU's TCG), so any machine will do, slowly: a test takes some ten times as long. Its
kernel and first programs are kept in a cache; a second run needs no network.

Exit status: that of the command; 4 if something is missing.
"""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from runtime import exits

CACHE = Path("/var/cache/anycast-xsp/guest")
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "depmod": "kmod",
    "dpkg": "dpkg",
}
NEEDED = ("9pnet_virtio", "9p", "overlay", "virtio_pci")  # to reach the host's files
AT_HAND = ("nf_tables", "veth", "tun")  # others are loaded by the kernel when they are asked for
MEMORY_MB = 4096
# Packets waiting between two interfaces of the guest. An emulated processor may be away for so long that the stock
# 1,000 are not enough, and what is dropped there would be taken for a loss of ours.
BACKLOG = 100_000
END = re.compile(r"^guest: status (\d+)\s*$", re.MULTILINE)


def main() -> int:
    """Run the command named on the command line."""
    if os.geteuid() != 0 or platform.machine() != "x86_64":
        exits.fail("the guest needs root and an x86-64 machine", "Run 'sudo make test-ip6tnl' on one", exits.MISSING)
    _install()
    release = _kernel()
    initrd = _initrd(release)
    CACHE.joinpath("tmp").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE / "tmp") as folder:
        script = Path(folder) / "run.sh"
        script.write_text(_script(release, sys.argv[1:]))
        return _boot(release, initrd, script)


def _install() -> None:
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if not missing:
        return
    print(f"guest: installing Debian packages: {' '.join(missing)}", flush=True)
    words = ["apt-get", "-q", "-y", "--no-install-recommends", "install", *missing]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        what = f"the Debian packages {' '.join(missing)} are missing and cannot be installed"
        exits.fail(what, f"See why and install them by hand: {done.stderr.strip().splitlines()[-1:]}", exits.MISSING)


def _kernel() -> str:
    """Debian's kernel, unpacked in the cache; its release."""
    root = CACHE / "kernel"
    if not (root / "complete").exists():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        print("guest: fetching Debian's kernel", flush=True)
        depends = _said("apt-cache", "depends", "--important", "linux-image-amd64")
        found = re.search(r"Depends: (linux-image-\S+)", depends)
        if found is None:
            exits.fail("apt knows no package linux-image-amd64", "Run 'apt-get update' and try again", exits.MISSING)
        subprocess.run(["apt-get", "-q", "download", found[1]], cwd=root, check=True, capture_output=True)
        [package] = root.glob("*.deb")
        subprocess.run(["dpkg", "-x", package, root], check=True)
        package.unlink()
        subprocess.run(["depmod", "-b", root, next((root / "lib/modules").iterdir()).name], check=True)
        (root / "complete").touch()
    return next((root / "lib/modules").iterdir()).name


def _initrd(release: str) -> Path:
    """What the guest starts with: busybox, our first script, the modules that reach the host's files, in order."""
    root, made = CACHE / "kernel", CACHE / "initrd.gz"
    files = []
    for module in NEEDED:
        for line in _said("modprobe", "-d", str(root), "-S", release, "--show-depends", module).splitlines():
            words = line.split()
            if words[0] == "insmod" and words[1] not in files:
                files.append(words[1])
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        (tree / "bin").mkdir()
        (tree / "modules").mkdir()
        shutil.copy(str(shutil.which("busybox")), tree / "bin/busybox")
        shutil.copy(Path(__file__).with_name("init.sh"), tree / "init")
        (tree / "init").chmod(0o755)
        for file in files:
            shutil.copy(file, tree / "modules")
        (tree / "modules/order").write_text("".join(f"{Path(file).name}\n" for file in files))
        pack = "find . | cpio --quiet -o -H newc | gzip -1 >" + shlex.quote(str(made))
        subprocess.run(["bash", "-c", pack], cwd=tree, check=True)
    return made


def _script(release: str, words: list[str]) -> str:
    """What the guest does once it has its root."""
    return f"""
mkdir -p /lib/modules/{release} /run/netns
mount --bind {CACHE}/kernel/lib/modules/{release} /lib/modules/{release}
modprobe -a {" ".join(AT_HAND)}
ip link set lo up
echo {BACKLOG} >/proc/sys/net/core/netdev_max_backlog
cd {shlex.quote(os.getcwd())}
{shlex.join(words)} </dev/null
echo "guest: status $?"
sync
poweroff -f
"""


def _boot(release: str, initrd: Path, script: Path) -> int:
    kernel = CACHE / "kernel/boot" / f"vmlinuz-{release}"
    words = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]
    words += ["-smp", str(os.cpu_count() or 1), "-m", str(MEMORY_MB), "-nographic", "-no-reboot", "-net", "none"]
    words += ["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]
    words += ["-kernel", str(kernel), "-initrd", str(initrd)]
    words += ["-append", f"console=ttyS0 quiet panic=-1 script={script}"]
    said = ""
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as guest:
        assert guest.stdout is not None
        for line in guest.stdout:
            said += line
            print(line, end="", flush=True)
    ends = END.findall(said)
    return int(ends[-1]) if ends else exits.REFUSED


def _said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
