"""Makes a root file system for the private registry out of this machine's Python: a tar on standard output.

    registry_image.py | mini-docker import … - mini-docker-registry      (script/registry-image does it)

What a program needs of a distribution is a short list: the interpreter, its standard library, the shared
libraries that these name, and its own code.
"""

from __future__ import annotations

import ctypes.util
import io
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import mini_docker.registry.server.__main__  # noqa: F401  what it imports is what goes into the image

CODE = "opt/mini-docker"
"""Where our code, and the packages that it stands on, lie in the image."""
NOT_NEEDED = re.compile(
    r"test|tests|idlelib|tkinter|turtledemo|lib2to3|ensurepip|pydoc_data|(site|dist)-packages|config-.*|.*\.opt-\d\.pyc"
)
"""Names in the standard library that a server never asks for."""


def main() -> None:
    """Write it."""
    interpreter = Path(sys.executable).resolve()
    files = (getattr(module, "__file__", None) for module in sys.modules.values())
    extensions = {str(Path(file).resolve()) for file in files if file and file.endswith(".so")}

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = Path(member.name)
        if NOT_NEEDED.fullmatch(name.name) or (name.suffix == ".so" and f"/{name}" not in extensions):
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", dereference=True) as tar:
        _add(tar, "tmp", tarfile.DIRTYPE, 0o1777)
        _add(tar, "var/lib/mini-docker-registry", tarfile.DIRTYPE, 0o700)
        _add(tar, "etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0:root:/root:/bin/sh\n")
        _add(tar, "bin/python3", tarfile.SYMTYPE, 0o777, link=str(interpreter))
        tar.add(interpreter, filter=wanted)
        tar.add(sysconfig.get_path("stdlib"), filter=wanted)
        for package in sorted(packages()):
            tar.add(package, f"{CODE}/{package.name}", filter=wanted)
        for name in sorted({libcrypt(), *shared_libraries([str(interpreter), *extensions])}):
            tar.add(name)


def shared_libraries(programs: Iterable[str]) -> set[str]:
    """What the loader needs for *programs*, by the names under which it looks for it (ldd(1))."""
    found = set()
    for program in programs:
        said = subprocess.run(["ldd", program], check=False, capture_output=True, text=True).stdout
        found |= set(re.findall(r"(/\S+) \(0x", said))
    return found


def libcrypt() -> str:
    """The library that checks passwords. Nothing that ldd sees names it: it is loaded when there is a password."""
    name = ctypes.util.find_library("crypt")
    ctypes.CDLL(name)
    loaded = re.search(r"/\S*/libcrypt\S*", Path("/proc/self/maps").read_text())
    return str(Path(loaded[0]).parent / str(name)) if loaded else ""


def packages() -> Iterator[Path]:
    """The folders of ours and of the packages that the registry imports, Python's own left out."""
    names = {name.partition(".")[0] for name in sys.modules}
    for name in names - set(sys.stdlib_module_names):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and Path(file).name == "__init__.py" and not name.startswith("_"):
            yield Path(file).parent


def _add(tar: tarfile.TarFile, name: str, kind: bytes, mode: int, data: bytes = b"", link: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname, member.size = kind, mode, link, len(data)
    tar.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    main()
