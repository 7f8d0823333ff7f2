"""The context: files that are repacked and never unpacked."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.builder.context import Context, Move, moved
from mini_docker.engine import Input
from mini_docker.errors import Invalid, NotFound


def tar(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.uname = len(data), 1234, "me"
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def context(data: bytes) -> Context:
    source = Input()
    source.set(io.BytesIO(data))
    return Context(source)


def listed(layer: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]


FILES = {"a": b"1", "sub/b": b"2", "sub/deep/c": b"3", "sub2/d": b"4"}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_what_is_asked_for_is_placed(mode: str) -> None:
    """A folder brings what is below it, and nothing that only begins alike; compression does not matter."""
    files = context(tar(FILES, mode))
    layer, _ = files.placed([Move("sub", "/x"), Move("a", "/y/a")], (0, 0))
    assert listed(layer.read()) == {"x/b": b"2", "x/deep/c": b"3", "y/a": b"1"}
    files.close()


def test_owners_are_set() -> None:
    """Who built it is nobody's business inside the image."""
    layer, _ = context(tar(FILES)).placed([Move("a", "/a")], (5, 6))
    with layer, tarfile.open(fileobj=layer) as archive:
        (member,) = archive.getmembers()
    assert (member.uid, member.gid, member.uname) == (5, 6, "")


@given(st.dictionaries(st.sampled_from(["a", "b/c", "b/d"]), st.binary(max_size=20), min_size=1))
def test_the_digest_is_of_what_is_in_it(files: dict[str, bytes]) -> None:
    """Equal content is equal whatever the order it came in; another byte is another digest."""
    moves = [Move("", "/x")]
    digest = context(tar(files)).placed(moves, (0, 0))[1]
    assert context(tar(dict(reversed(files.items())))).placed(moves, (0, 0))[1] == digest
    name = next(iter(files))
    assert context(tar({**files, name: files[name] + b"!"})).placed(moves, (0, 0))[1] != digest


def test_no_name_leads_out() -> None:
    """Neither of what is taken nor of where it goes."""
    layer, _ = context(tar({"../../etc/passwd": b"x"})).placed([Move("", "/x")], (0, 0))
    assert listed(layer.read()) == {"x/etc/passwd": b"x"}
    inner = tar({"../../up": b"u"})
    layer, _ = context(tar({"arc.tar": inner})).placed([Move("arc.tar", "/x", unpacked=True)], (0, 0))
    assert listed(layer.read()) == {"x/up": b"u"}


def test_patterns() -> None:
    """A star stays within one folder, as in Go."""
    files = context(tar(FILES))
    assert files.match("sub*/*") == ["sub/b", "sub2/d"]
    assert files.match("./sub/") == ["sub"]
    with pytest.raises(NotFound, match="not found in build context"):
        files.match("nowhere")


def test_an_archive_is_known_by_its_content() -> None:
    """ADD unpacks it, COPY does not."""
    files = context(tar({"arc": tar({"x": b"y"}), "text": b"no tar"}))
    assert files.is_archive("arc")
    assert not files.is_archive("text")


def test_a_copy_from_an_image_gets_its_new_name() -> None:
    """A file its own, a folder the one that its content goes below."""
    assert listed(moved(tar({"old": b"1"}), "/new", into=False).read()) == {"new": b"1"}
    assert listed(moved(tar({"old/f": b"1"}), "/new", into=False).read()) == {"new/f": b"1"}
    assert listed(moved(tar({"old": b"1"}), "/folder", into=True).read()) == {"folder/old": b"1"}


def test_what_is_no_tar_is_refused() -> None:
    """In one sentence."""
    with pytest.raises(Invalid, match="no tar archive"):
        context(b"garbage")
