"""Who runs: looked up in the container's own passwd and group files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.errors import Invalid
from mini_docker.libcontainer.users import MAX_ID, Identity, look_up

PASSWD = (
    "root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70::/var/lib/postgresql:/bin/sh\nbroken line\n1000:x:5:5::/odd:\n"
)
GROUP = "root:x:0:\npostgres:x:70:\nwheel:x:10:root,postgres\nssl:x:101:postgres\n"


@pytest.mark.parametrize(
    ("user", "identity"),
    [
        ("", Identity(0, 0, (10,), "/root")),
        ("root", Identity(0, 0, (10,), "/root")),
        ("postgres", Identity(70, 70, (10, 101), "/var/lib/postgresql")),
        ("70", Identity(70, 70, (10, 101), "/var/lib/postgresql")),
        ("postgres:wheel", Identity(70, 10, (), "/var/lib/postgresql")),
        ("70:12345", Identity(70, 12345, (), "/var/lib/postgresql")),
        ("12345", Identity(12345, 0, (), "/")),
        (":wheel", Identity(0, 10, (), "/root")),
    ],
)
def test_docker_rules(user: str, identity: Identity) -> None:
    """A name must be listed, a number need not be; an explicit group replaces the supplementary ones."""
    assert look_up(user, (), PASSWD, GROUP) == identity


def test_a_user_named_like_a_number() -> None:
    """The first line that matches by name or by number wins, as in Docker: here the one named "1000"."""
    assert look_up("1000", (), PASSWD, GROUP).uid == 5


def test_additional_groups_come_on_top() -> None:
    """``--group-add`` takes names and numbers; one listed twice counts once."""
    assert look_up("postgres", ("audio", "7", "ssl"), PASSWD, GROUP + "audio:x:29:\n").groups == (10, 101, 29, 7)


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("root:nogroup", "unable to find group nogroup: no matching entries in group file"),
        (str(MAX_ID + 1), "must be in range"),
    ],
)
def test_who_cannot_be_found_is_named(user: str, reason: str) -> None:
    """With Docker's words."""
    with pytest.raises(Invalid, match=reason):
        look_up(user, (), PASSWD, GROUP)


@given(st.text(max_size=20), st.text(max_size=60), st.text(max_size=60))
def test_hostile_files_do_no_harm(user: str, passwd: str, group: str) -> None:
    """The files belong to the image's author: whatever is in them, the answer is an identity or a clear error."""
    try:
        identity = look_up(user, (), passwd, group)
    except Invalid:
        return
    assert identity.uid >= 0
    assert identity.gid >= 0
