"""``--userns-remap`` live: who is root inside is nobody on the host, and neither side's files change hands.

The house has an /etc of its own, an overlay on the machine's: there users are added and ids given out.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.house import House, has_docker_cli, opened
from tests.house.test_network_beside_docker import DockerdHouse

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("useradd") is None, reason="useradd is not installed"),
]

FIRST, SECOND = 300_000, 200_000
RANGES = f"dockremap:{FIRST}:1000\nother:1:1\ndockremap:{SECOND}:65536\n"
FLAGS = ("--userns-remap", "dockremap", "--bip", "10.199.7.1/24")
MAPS = [["0", str(FIRST), "1000"], ["1000", str(SECOND), "65536"]]


def own_etc(house: House, ranges: str) -> None:
    """Lay a private /etc over the machine's, with the user dockremap and these ids."""
    for name in ("upper", "work"):
        (house.folder / "etc" / name).mkdir(parents=True)
    options = f"lowerdir=/etc,upperdir={house.folder}/etc/upper,workdir={house.folder}/etc/work"
    script = f'mount -t overlay -o {options} overlay /etc && printf "{ranges}" | tee /etc/subuid > /etc/subgid'
    if ranges:
        script += " && (id dockremap 2>/dev/null || useradd --system dockremap)"
    subprocess.run(house.inside("sh", "-c", script), check=True, capture_output=True)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, busybox_tar: bytes) -> Iterator[House]:
    """A daemon that remaps, in a folder that nobody but the host's root may enter."""
    remapped = House(tmp_path_factory.mktemp("remapped"), FLAGS)
    remapped.folder.chmod(0o700)
    with opened(remapped, busybox_tar, lambda house: own_etc(house, RANGES)) as house:
        yield house


def run(house: House, *words: str) -> str:
    """What a container says."""
    ran = house.ours("run", "--rm", *words)
    assert ran.code == 0, ran.err
    return ran.out


def owners(tar: bytes) -> dict[str, tuple[int, int]]:
    """Who owns what, by an archive."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {member.name.removeprefix("./"): (member.uid, member.gid) for member in archive}


def raw(house: House, *words: str) -> bytes:
    """Our command line's output, byte for byte."""
    command = [os.sys.executable, "-m", "mini_docker", *words]  # type: ignore[attr-defined]
    environment = {**os.environ, "DOCKER_HOST": house.host}
    return subprocess.run(command, capture_output=True, env=environment, timeout=60, check=True).stdout


def test_the_ranges_become_one_row_of_ids(house: House) -> None:
    """As /proc/self/uid_map shows them, in the file's order; `info` says it, and the root folder is one of its own."""
    maps = run(house, "busybox", "cat", "/proc/self/uid_map", "/proc/self/gid_map")
    assert [line.split() for line in maps.splitlines()] == MAPS * 2
    info = json.loads(house.ours("info", "--format", "{{json .}}").out)
    assert "name=userns" in info["SecurityOptions"]
    assert info["DockerRootDir"] == f"{house.folder}/root/{FIRST}.{FIRST}"


def test_inside_all_is_roots_and_outside_nothing_is(house: House) -> None:
    """The image's files, the files of the network, a new volume; the process itself."""
    listed = run(house, "-v", "drawer:/v", "busybox", "ls", "-lnd", "/", "/bin", "/etc/hosts", "/etc/resolv.conf", "/v")
    assert {tuple(line.split()[2:4]) for line in listed.splitlines()} == {("0", "0")}
    run(house, "-v", "drawer:/v", "busybox", "sh", "-c", "touch /v/a /v/b && chown 1000:10 /v/b")
    drawer = house.folder / f"root/{FIRST}.{FIRST}/volumes/drawer/_data"
    assert {path.name: (path.stat().st_uid, path.stat().st_gid) for path in drawer.iterdir()} == {
        "a": (FIRST, FIRST), "b": (SECOND, FIRST + 10),
    }  # fmt: skip
    house.ours("run", "-d", "--name", "one", "busybox", "sleep", "1000")
    pid = house.inspect("one")["State"]["Pid"]
    assert Path(f"/proc/{pid}").stat().st_uid == FIRST
    assert house.ours("exec", "one", "id", "-u").out == "0\n"
    assert house.ours("exec", "-u", "guest", "one", "id", "-un").out == "guest\n"
    assert run(house, "-t", "busybox", "sh", "-c", "tty && ls -ln $(tty) | cut -c -29").split() == [
        "/dev/pts/0", "crw--w----", "1", "0", "5",
    ]  # fmt: skip


def test_a_folder_of_the_hosts_is_a_strangers(house: House) -> None:
    """It can be reached, wherever it lies, and changed as little as any stranger may."""
    folder = house.folder / "closed" / "shared"
    folder.mkdir(parents=True)
    (house.folder / "closed").chmod(0o700)
    ran = house.ours("run", "--rm", "-v", f"{folder}:/h", "busybox", "sh", "-c", "ls -lnd /h; touch /h/evil")
    assert ran.out.split()[2:4] == ["65534", "65534"]
    assert (ran.code, list(folder.iterdir())) == (1, [])
    missing = house.folder / "missing"
    assert run(house, "-v", f"{missing}:/h", "busybox", "sh", "-c", "touch /h/mine && echo made") == "made\n"
    assert (missing / "mine").stat().st_uid == FIRST


def test_archives_speak_the_containers_language(house: House) -> None:
    """cp, export, commit, save, both ways: ids of the host are in none."""
    script = "touch /new && chown 1000:10 /new && ln -s new /link"
    assert house.ours("run", "--name", "one", "busybox", "sh", "-c", script).code == 0
    assert house.ours("diff", "one").out.split() == ["A", "/link", "A", "/new"]
    assert owners(raw(house, "cp", "one:/new", "-")) == {"new": (1000, 10)}
    exported = owners(raw(house, "export", "one"))
    assert (exported["new"], exported["link"], exported["bin"]) == ((1000, 10), (0, 0), (0, 0))
    (house.folder / "sent").write_text("x")
    assert house.ours("cp", str(house.folder / "sent"), "one:/sent").code == 0
    assert house.ours("commit", "one", "grown").code == 0
    listed = run(house, "grown", "ls", "-ln", "/new", "/sent")
    assert [line.split()[2:4] for line in listed.splitlines()] == [["1000", "10"], ["0", "0"]]
    with tarfile.open(fileobj=io.BytesIO(raw(house, "save", "grown"))) as image:
        layers = [name for name in image.getnames() if name.endswith("layer.tar") or "blobs/sha256/" in name]
        ids = {
            owner
            for name in layers
            if (member := image.extractfile(name)) is not None and (tar := member.read())[257:262] == b"ustar"
            for owner in owners(tar).values()
        }
    assert ids == {(0, 0), (1000, 10)}


def test_an_image_with_ids_beyond_the_range_is_refused(house: House) -> None:
    """With the member's ids in the words, and nothing left of it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("far")
        member.uid = 500_000
        tar.addfile(member)
    ran = house.ours("import", "-", "far", stdin=out.getvalue())
    assert ran.code != 0
    assert "user 500000 of the container has no id on the host" in ran.err
    assert house.ours("images", "-q", "far").out == ""


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--privileged", "privileged mode is incompatible with user namespaces."),
        ("--pid=host", "cannot share the host PID namespace when user namespaces are enabled"),
        ("--network=host", "cannot share the host's network namespace when user namespaces are enabled"),
    ],
)
def test_what_belongs_to_the_hosts_root_needs_the_hosts_users(house: House, flag: str, said: str) -> None:
    """In Docker's words; with --userns=host it works, on files that are not its own."""
    refused = house.ours("run", "--rm", flag, "busybox", "true")
    assert refused.code == 125
    assert said in refused.err
    words = run(house, flag, "--userns=host", "busybox", "sh", "-c", "cat /proc/self/uid_map; ls -lnd /bin").split()
    assert words[:3] == ["0", "0", str(2**32 - 1)]
    assert words[5:7] == [str(FIRST), str(FIRST)]


@pytest.mark.parametrize("kind", ["network", "pid", "ipc"])
def test_who_joins_a_namespace_joins_its_user_namespace(house: House, kind: str) -> None:
    """A namespace can be used from the user namespace that it belongs to; the rest of the joiner is its own."""
    house.ours("run", "-d", "--name", "one", "--ipc=shareable", "busybox", "sleep", "1000")
    pid = house.inspect("one")["State"]["Pid"]
    ns = {"network": "net"}.get(kind, kind)
    links = [f"/proc/self/ns/{name}" for name in ("user", ns, "mnt", "uts")]
    joined = run(
        house, f"--{kind}=container:one", "busybox", "sh", "-c", f"for i in {' '.join(links)}; do readlink $i; done"
    ).split()
    donors = [os.readlink(link.replace("self", str(pid))) for link in links]
    assert joined[:2] == donors[:2]
    assert joined[2] != donors[2] and joined[3] != donors[3]
    refused = house.ours("run", "--rm", f"--{kind}=container:one", "--userns=host", "busybox", "true")
    assert "is in another user namespace" in refused.err


def test_a_published_port(house: House) -> None:
    """The network is laid from outside, whoever root inside is."""
    page = "mkdir /www && echo hello > /www/index.html && httpd -f -p 80 -h /www"
    assert house.ours("run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", page).code == 0
    assert house.ours("exec", "web", "sh", "-c", "until wget -qO- http://127.0.0.1; do :; done").out == "hello\n"
    assert house.fetch("http://127.0.0.1:8080/") == "hello\n"


def test_containers_are_found_again(house: House) -> None:
    """After the daemon was killed, in the same root folder; their ids are the file's of today."""
    house.ours("run", "-d", "--name", "one", "busybox", "sleep", "1000")
    house.kill()
    house.start()
    found = house.ours("exec", "one", "cat", "/proc/self/uid_map").out
    assert [line.split() for line in found.splitlines()] == MAPS


def test_the_default_user_is_made_when_it_is_missing(tmp_path: Path, house: House) -> None:
    """With ids of its own behind all others'; without a range the daemon says which line is missing."""
    other = House(tmp_path, ("--userns-remap=default",))
    other.open_namespaces()
    own_etc(other, "")
    subprocess.run(other.inside("sh", "-c", "userdel dockremap; echo a:100000:7 > /etc/subuid"), check=False)
    try:
        other.start()
        assert [path.name for path in (tmp_path / "root").iterdir()] == ["100007.100000"]
        assert json.loads(other.ours("info", "--format", "{{json .SecurityOptions}}").out)[-1] == "name=userns"
        other.stop()
        subprocess.run(other.inside("sh", "-c", "echo > /etc/subgid"), check=True)
        with pytest.raises(AssertionError, match=r'/etc/subgid has no ids .* such as "dockremap:100000:65536"'):
            other.start("--userns-remap=dockremap")
        subprocess.run(other.inside("sh", "-c", "echo dockremap:100000:65536 > /etc/subgid"), check=True)
        other.start()
    finally:
        other.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may pass through, as dockerd wants it."""
    folder = Path(tempfile.mkdtemp(prefix="mini-docker-dockerd-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(not has_docker_cli(), reason="the stock docker command line is not installed")
@pytest.mark.skipif(shutil.which("dockerd", path="/usr/sbin:/usr/bin") is None, reason="dockerd is not installed")
def test_beside_dockerd(house: House, open_folder: Path, busybox_tar: bytes) -> None:
    """The same ids, the same owners of all that a container sees, the same owners of a volume on the host."""
    dockerd = DockerdHouse(open_folder, FLAGS)
    dockerd.open_namespaces()
    own_etc(dockerd, RANGES)
    try:
        dockerd.start()
        assert dockerd.docker("import", "-", "busybox", stdin=busybox_tar).code == 0
        seen = []
        for each in (house, dockerd):
            script = (
                "cat /proc/self/uid_map /proc/self/gid_map; grep -E 'Uid|Gid|Groups' /proc/self/status;"
                "find / -xdev -maxdepth 2 -exec stat -c '%n %u:%g' {} + | sort;"
                "stat -c '%n %u:%g' /proc /sys /dev/* /dev/pts/ptmx /etc/hosts /etc/hostname /etc/resolv.conf;"
                "touch /v/a /v/b; chown 1000:10 /v/b; touch /h/evil; chown 0 /h"
            )
            shared = each.folder / "shared"
            shared.mkdir()
            ran = each.docker("run", "--rm", "-v", "drawer2:/v", "-v", f"{shared}:/h", "busybox", "sh", "-c", script)
            volume = each.folder / f"root/{FIRST}.{FIRST}/volumes/drawer2/_data"
            on_host = sorted((path.name, path.stat().st_uid, path.stat().st_gid) for path in volume.iterdir())
            seen.append((ran.code, sorted(ran.out.splitlines()), ran.err, on_host))
        ours, theirs = seen
        for path in KNOWN_DIFFERENCES:
            ours[1][:], theirs[1][:] = (
                [line for line in side[1] if not line.startswith(f"{path} ")] for side in (ours, theirs)
            )
        assert ours == theirs
    finally:
        dockerd.stop()
        assert dockerd.namespaces is not None and dockerd.namespaces.stdout is not None
        dockerd.namespaces.kill()
        dockerd.namespaces.wait()
        dockerd.namespaces.stdout.close()


KNOWN_DIFFERENCES = {
    "/dev/mqueue": "its file system is the IPC namespace's, made before init is root; anyone may use it",
    "/etc/mtab": "a link that Docker leaves to the host's root",
}
