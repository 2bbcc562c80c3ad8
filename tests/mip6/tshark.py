"""tshark as a reader of packets: fields by frame, and its complaints.

What of tshark 4.0 cannot be believed, and is therefore not asked: checksums (never verified), flow options (unknown to
it), options of a Home Agent Switch (parsed at a wrong offset), the last octets of authenticators, names of statuses.
"""

import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

LINKTYPE_RAW = 101
_PCAP = struct.Struct("<IHHiIII")
_RECORD = struct.Struct("<IIII")

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


def read(directory: Path, packets: Sequence[bytes], fields: Sequence[str]) -> list[list[list[str]]]:
    """For each packet, for each field, its values as tshark prints them."""
    capture = directory / "packets.pcap"
    with open(capture, "wb") as stream:
        stream.write(_PCAP.pack(0xA1B2C3D4, 2, 4, 0, 0, 65535, LINKTYPE_RAW))
        for octets in packets:
            stream.write(_RECORD.pack(0, 0, len(octets), len(octets)) + octets)
    asked = [word for field in fields for word in ("-e", field)]
    words = ["tshark", "-n", "-r", str(capture), "-T", "fields", "-E", "separator=|", "-E", "aggregator=,", *asked]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    lines = done.stdout.splitlines()
    assert len(lines) == len(packets)
    return [[value.split(",") if value else [] for value in line.split("|")] for line in lines]
