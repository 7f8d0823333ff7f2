"""References: Docker's grammar, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.errors import Invalid
from mini_docker.registry.reference import Reference

DIGEST = "sha256:" + "0123456789abcdef" * 4

component = st.from_regex(r"[a-z0-9]{1,6}(?:(?:[._]|__|-{1,3})[a-z0-9]{1,6}){0,2}", fullmatch=True)
path = st.lists(component, min_size=1, max_size=3).map("/".join)
label = st.from_regex(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,5}[a-zA-Z0-9])?", fullmatch=True)
host = st.one_of(
    st.lists(label, min_size=2, max_size=3).map(".".join),
    st.just("localhost"),
    st.just("[2001:db8::1]"),
    st.just("[::1]"),
)
domain = st.one_of(
    st.just("docker.io"),
    host,
    st.builds("{}:{}".format, st.one_of(host, label), st.integers(1, 65535)),
)  # fmt: skip
tag = st.one_of(st.just(""), st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True))
digest = st.one_of(st.just(""), st.just(DIGEST))


@st.composite
def references(draw: st.DrawFn) -> Reference:
    where, what = draw(domain), draw(path)
    if where == "docker.io" and "/" not in what:
        what = "library/" + what
    if where == "index.docker.io":
        where = "docker.io"
    return Reference(where, what, draw(tag), draw(digest))


@settings(max_examples=200, deadline=None)
@given(references())
def test_parse_inverts_str_and_familiar(reference: Reference) -> None:
    """Law: whole and short form both mean the same reference; else a tag would be stored under a name nobody finds."""
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar()) == reference


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="aZ0./:@-_[]\n é", max_size=20))
def test_any_text_is_a_reference_or_invalid(text: str) -> None:
    """Law: parse answers with a reference whose whole form it accepts again, or with Invalid; never another error."""
    try:
        reference = Reference.parse(text)
    except Invalid:
        return
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "whole", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("me/app", "docker.io/me/app", "me/app"),
        ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox", "busybox"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
        ("127.0.0.1:5000/me/bb:1", "127.0.0.1:5000/me/bb:1", "127.0.0.1:5000/me/bb:1"),
        ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
        ("a.b/c", "a.b/c", "a.b/c"),
        ("Host/app", "Host/app", "Host/app"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"docker.io/library/busybox:1@{DIGEST}", f"busybox:1@{DIGEST}"),
        ("a__b/c---d", "docker.io/a__b/c---d", "a__b/c---d"),
    ],
)
def test_examples(text: str, whole: str, familiar: str) -> None:
    """Docker's own examples, short and whole."""
    reference = Reference.parse(text)
    assert (str(reference), reference.familiar()) == (whole, familiar)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        ("X", "invalid reference format: repository name (library/X) must be lowercase"),
        ("me/App:1", "invalid reference format: repository name (me/App) must be lowercase"),
        ("a..b", "invalid reference format"),
        ("a/", "invalid reference format"),
        ("/a", "invalid reference format"),
        ("a:", "invalid reference format"),
        ("a:b:c", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("a_-b", "invalid reference format"),
        ("a\n", "invalid reference format"),
        ("https://host/a", "invalid reference format"),
        ("a@sha256:12", "invalid reference format"),
        ("a@sha256:" + "f" * 63, "invalid checksum digest length"),
        ("a@md5:" + "f" * 32, "unsupported digest algorithm"),
        ("f" * 64, f"invalid repository name ({'f' * 64}), cannot specify 64-byte hexadecimal strings"),
        ("a:" + "t" * 129, "invalid reference format"),
        ("host.io/" + "a" * 256, "repository name must not be more than 255 characters"),
    ],
)
def test_refused_in_dockers_words(text: str, message: str) -> None:
    """What is no reference is refused with the text that Docker's users search the web for."""
    with pytest.raises(Invalid) as caught:
        Reference.parse(text)
    assert str(caught.value) == message


def test_of_joins_what_the_api_sends_apart() -> None:
    """The API sends image and tag as two parameters, and a digest in the place of the tag."""
    assert Reference.of("busybox", "1").familiar() == "busybox:1"
    assert Reference.of("busybox", DIGEST).familiar() == f"busybox@{DIGEST}"
    assert Reference.of("busybox:1").familiar() == "busybox:1"
    assert Reference.of("busybox").is_name_only
    with pytest.raises(Invalid, match="invalid tag format"):
        Reference.of("busybox", "a/b")
