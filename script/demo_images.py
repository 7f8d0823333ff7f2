"""Makes the two images of the demo without downloading anything, as tar files on standard output.

    demo_images.py busybox      a root file system of Debian's busybox-static
    demo_images.py hello-world  one file, /hello: a program of a few dozen machine instructions, written here

A container needs no distribution: its kernel is the host's, and one static file is a whole userland.
"""

from __future__ import annotations

import io
import platform
import struct
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import BinaryIO

GREETING = b"""
Hello from mini-docker!

These lines were written by a program of a few machine instructions, alone in its own world:
 1. The client asked the daemon's Server; the Engine ran the jobs create, attach and start.
 2. The Graph found the image, and the graph driver made a layer for this container on top.
 3. The exec driver had the supervisor fork an init into new namespaces (libcontainer).
 4. Init pivoted into the image, gave up its privileges and executed /hello, which wrote this.

Next: mini-docker run -it busybox sh, and then: mini-docker jobs
"""

BASE = 0x400000
HEADERS_SIZE = 64 + 56


def hello_elf(machine: str) -> bytes:
    """A static ELF executable that writes the greeting and exits.

    Source: elf(5); the system call conventions of syscall(2).

    Raises:
        ValueError: a machine whose instructions are not written here.
    """
    if machine == "x86_64":
        e_machine = 62
        code_size = 36
        message = code_size - 17  # from the end of lea, which is relative to the next instruction
        code = (
            b"\xb8\x01\x00\x00\x00"  # mov eax, 1 (write)
            b"\xbf\x01\x00\x00\x00"  # mov edi, 1 (standard output)
            b"\x48\x8d\x35" + struct.pack("<i", message)  # lea rsi, [rip + message]
            + b"\xba" + struct.pack("<I", len(GREETING))  # mov edx, length
            + b"\x0f\x05"  # syscall
            b"\xb8\x3c\x00\x00\x00"  # mov eax, 60 (exit)
            b"\x31\xff"  # xor edi, edi
            b"\x0f\x05"  # syscall
            b"\xcc\xcc\xcc"  # never reached
        )  # fmt: skip
    elif machine == "aarch64":
        e_machine = 183
        message = 7 * 4  # adr stands one instruction after the first; the text follows the eighth

        def mov(register: int, value: int) -> int:
            return 0xD2800000 | value << 5 | register

        adr = 0x10000000 | (message >> 2) << 5 | (message & 3) << 29 | 1
        syscall = 0xD4000001
        code = struct.pack(
            "<8I", mov(0, 1), adr, mov(2, len(GREETING)), mov(8, 64), syscall, mov(0, 0), mov(8, 93), syscall
        )
    else:
        raise ValueError(f"the demo's program is written for x86_64 and aarch64, not for {machine}")
    size = HEADERS_SIZE + len(code) + len(GREETING)
    entry = BASE + HEADERS_SIZE
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, e_machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x1000)  # PT_LOAD, read and execute
    return header + segment + code + GREETING


def busybox(out: BinaryIO) -> None:
    """A root file system of the host's static busybox."""
    program = Path("/bin/busybox")
    applets = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(fileobj=out, mode="w|") as tar:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("www", 0o755)):
            _add(tar, folder, tarfile.DIRTYPE, mode)
        _add(tar, "bin/busybox", tarfile.REGTYPE, 0o755, program.read_bytes())
        for applet in applets:
            if applet != "busybox":
                _add(tar, f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")
        _add(tar, "etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0:root:/root:/bin/sh\n")
        _add(tar, "etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\n")
        _add(tar, "www/index.html", tarfile.REGTYPE, 0o644, b"A page, served from inside a container.\n")


def hello_world(out: BinaryIO) -> None:
    """One file."""
    with tarfile.open(fileobj=out, mode="w|") as tar:
        _add(tar, "hello", tarfile.REGTYPE, 0o755, hello_elf(platform.machine()))


def _add(tar: tarfile.TarFile, name: str, kind: bytes, mode: int, data: bytes = b"", link: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname, member.size = kind, mode, link, len(data)
    tar.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    {"busybox": busybox, "hello-world": hello_world}[sys.argv[1]](sys.stdout.buffer)
