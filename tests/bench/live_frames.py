"""Packets made and taken by the kernel itself: a generator and a receiver that cost some 100 ns a packet together.

Owns the bpf(2) calls and a handful of instructions. The generator is BPF_PROG_TEST_RUN with live frames (Linux 5.18):
an XDP program writes each packet and hands it to the kernel as if an interface had received it, in batches as a network
card's driver does. The receiver is an XDP program at the far end of a veth pair, which counts and drops. No packet is
ever copied to or from a process, so what is measured is what lies between: forwarding.
"""

import ctypes
import os
import struct
import time
from collections.abc import Iterable
from typing import NamedTuple

_BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}  # asm/unistd.h
_MAP_CREATE, _MAP_LOOKUP, _PROG_LOAD, _TEST_RUN, _LINK_CREATE = 0, 1, 5, 10, 28  # linux/bpf.h
_ARRAY, _CLASSIFIER, _XDP, _INGRESS, _LIVE_FRAMES = 2, 3, 6, 46, 2
_XDP_PASS, _TC_SHOT = 2, 2
_RANDOM, _MAP_LOOKUP_ELEMENT = 7, 1  # helpers
_BATCH = 64  # what a driver takes in one poll (NAPI_POLL_WEIGHT)
_INSTRUCTION = struct.Struct("=BBhI")
ETHERNET_OCTETS = 14

_libc = ctypes.CDLL(None, use_errno=True)
Code = list[bytes]


class Field(NamedTuple):
    """Octets of a packet that differ: 4 at `at`, `base` plus a random number below `range` shifted by `shift`.

    All fields of a packet share one random number; `other` takes its upper half instead.
    """

    at: int
    base: int
    range: int
    shift: int = 0
    other: bool = False


class Generator:
    """Makes packets like `template` (an Ethernet frame), each with its own `fields`."""

    def __init__(self, template: bytes, fields: Iterable[Field]) -> None:
        self._template = template.ljust(-(-len(template) // 4) * 4, b"\0")
        self._program = _load(_XDP, _write(self._template, fields))

    def send(self, count: int, interface: int) -> float:
        """Have `interface` (index) receive so many, each forwarded before the next batch is made; seconds."""
        frame = ctypes.create_string_buffer(self._template, len(self._template))
        context = ctypes.create_string_buffer(struct.pack("=6I", 0, len(self._template), 0, interface, 0, 0))
        attributes = struct.pack(
            "=IIIIQQIIIIQQIII",
            *(self._program, 0, len(self._template), 0, ctypes.addressof(frame), 0),
            *(count, 0, 24, 0, ctypes.addressof(context), 0),
            *(_LIVE_FRAMES, 0, _BATCH),
        )
        began = time.thread_time()
        _bpf(_TEST_RUN, attributes)
        return time.thread_time() - began

    def close(self) -> None:
        """Free the program."""
        os.close(self._program)


class Receiver:
    """Counts what arrives at an interface (index) and drops it; for as long as this lives.

    Args:
        markers: (offset, 4 octets) that a frame must have to be counted at all.
        pairs: (offset, base, shift) of two numbers in a frame; less its base and shifted, both must be equal.
    """

    def __init__(
        self, interface: int, markers: Iterable[tuple[int, bytes]], pair: tuple[tuple[int, int, int], ...] = ()
    ) -> None:
        self._map = _bpf(_MAP_CREATE, struct.pack("=IIII", _ARRAY, 4, 8, 2))
        self._program = _load(_CLASSIFIER, _count(self._map, list(markers), pair))
        self._link = _bpf(_LINK_CREATE, struct.pack("=IIII", self._program, interface, _INGRESS, 0))

    def counts(self) -> tuple[int, int]:
        """How many came as they should, and how many whose numbers did not match."""
        return self._count(0), self._count(1)

    def _count(self, place: int) -> int:
        key = ctypes.create_string_buffer(struct.pack("=I", place))
        value = ctypes.create_string_buffer(8)
        _bpf(_MAP_LOOKUP, struct.pack("=I4xQQQ", self._map, ctypes.addressof(key), ctypes.addressof(value), 0))
        return int.from_bytes(value.raw[:8], "little")

    def close(self) -> None:
        """Let packets pass again."""
        for descriptor in (self._link, self._program, self._map):
            os.close(descriptor)


# --- programs: registers 0..10; 6 keeps the context or a count, 7 and 8 numbers, 2 and 3 the frame's ends ------------


def _write(template: bytes, fields: Iterable[Field]) -> bytes:
    """Write the whole frame, whatever its page held before; then its fields; pass it to the kernel."""
    code = [_instruction(0xBF, 6, 1), _call(_RANDOM), _instruction(0xBF, 7, 0)]
    code += [_instruction(0x61, 2, 6, 0), _instruction(0x61, 3, 6, 4)]
    body = [
        _instruction(0x62, 2, 0, at, int.from_bytes(template[at : at + 4], "little"))
        for at in range(0, len(template), 4)
    ]
    for field in fields:
        body += [_instruction(0xBF, 0, 7)]
        body += [_instruction(0x77, 0, 0, 0, 16)] if field.other else []
        body += [_instruction(0x97, 0, 0, 0, field.range), _instruction(0x67, 0, 0, 0, field.shift)]
        body += [_instruction(0xB4, 4, 0, 0, field.base), _instruction(0x0C, 0, 4), _instruction(0xDC, 0, 0, 0, 32)]
        body += [_instruction(0x63, 2, 0, field.at)]
    return b"".join([*code, *_if_long_enough(len(template), body), *_return(_XDP_PASS)])


def _count(counts: int, markers: list[tuple[int, bytes]], pair: tuple[tuple[int, int, int], ...]) -> bytes:
    """Look at the markers, compare the numbers, count, drop."""
    ends = [at + 4 for at, _ in markers] + [at + 4 for at, _, _ in pair]
    add = [
        _instruction(0x63, 10, 6, -4),
        _instruction(0xBF, 2, 10),
        _instruction(0x07, 2, 0, 0, -4),
        _instruction(0x18, 1, 1, 0, counts) + _instruction(0),
        _call(_MAP_LOOKUP_ELEMENT),
        _instruction(0x15, 0, 0, 2, 0),
        _instruction(0xB7, 1, 0, 0, 1),
        _instruction(0xDB, 0, 1, 0),  # add, without another processor between
    ]
    compare = [_instruction(0xB7, 6)]
    for register, (at, base, shift) in zip((7, 8), pair, strict=False):
        compare += [_instruction(0x61, register, 2, at), _instruction(0xDC, register, 0, 0, 32)]
        compare += [_instruction(0x14, register, 0, 0, base), _instruction(0x74, register, 0, 0, shift)]
    if pair:
        compare += [_instruction(0x1D, 7, 8, 1), _instruction(0xB7, 6, 0, 0, 1)]
    body = [*compare, *add]
    for at, octets in reversed(markers):
        size = sum(len(one) // 8 for one in body)
        expected = int.from_bytes(octets, "little")
        body = [_instruction(0x61, 4, 2, at), _instruction(0x56, 4, 0, size, expected), *body]
    code = [_instruction(0xBF, 6, 1), _instruction(0x61, 2, 6, 76), _instruction(0x61, 3, 6, 80)]  # of __sk_buff
    return b"".join([*code, *_if_long_enough(max(ends), body), *_return(_TC_SHOT)])


def _if_long_enough(octets: int, body: Code) -> Code:
    """`body` if the frame in register 2 has so many octets."""
    size = sum(len(one) // 8 for one in body)
    return [_instruction(0xBF, 4, 2), _instruction(0x07, 4, 0, 0, octets), _instruction(0x2D, 4, 3, size), *body]


def _return(verdict: int) -> Code:
    return [_instruction(0xB7, 0, 0, 0, verdict), _instruction(0x95)]


def _call(helper: int) -> bytes:
    return _instruction(0x85, 0, 0, 0, helper)


def _instruction(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, to | source << 4, offset, value & 0xFFFFFFFF)


# --- the system call --------------------------------------------------------------------------------------------------


def _load(kind: int, program: bytes) -> int:
    code, licence = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"GPL")
    said = ctypes.create_string_buffer(1 << 16)
    attributes = struct.pack(
        "=IIQQIIQ",
        *(kind, len(program) // 8, ctypes.addressof(code), ctypes.addressof(licence)),
        *(1, len(said), ctypes.addressof(said)),
    )
    try:
        return _bpf(_PROG_LOAD, attributes)
    except OSError as error:
        raise RuntimeError(f"the kernel refused a program: {said.value.decode()[-500:]}") from error


def _bpf(command: int, attributes: bytes) -> int:
    """Raises: OSError."""
    packed = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    answer = int(_libc.syscall(_BPF_SYSCALL[os.uname().machine], command, packed, len(packed)))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer
