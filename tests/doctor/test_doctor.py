"""The doctor: facts in, findings out; and its report on the machine that the tests run on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mini_docker.doctor as doctor
from mini_docker.dataclasses import fields, replace
from mini_docker.doctor.diagnosis import NEEDED_CAPABILITIES, NEEDED_NAMESPACES, diagnose
from mini_docker.doctor.finding import Finding, Verdict
from mini_docker.doctor.machine import Cgroups, Driver, Machine
from mini_docker.doctor.report import as_json, as_text, exit_code
from mini_docker.drivers.availability import AVAILABLE, Availability

GIB = 1 << 30
OPTIONS = (
    "CONFIG_BRIDGE", "CONFIG_VETH", "CONFIG_NF_NAT", "CONFIG_OVERLAY_FS", "CONFIG_BTRFS_FS",
    "CONFIG_DM_THIN_PROVISIONING", "CONFIG_BRIDGE_NETFILTER", "CONFIG_MACVLAN", "CONFIG_CGROUP_BPF", "CONFIG_USER_NS",
)  # fmt: skip

IDEAL = Machine(
    system="Linux",
    kernel="6.1.0-18-cloud-amd64",
    python=(3, 11, 2),
    is_root=True,
    capabilities=frozenset(NEEDED_CAPABILITIES),
    container="",
    kernel_options=dict.fromkeys(OPTIONS, "m"),
    namespaces=frozenset((*NEEDED_NAMESPACES, "user", "cgroup")),
    seccomp=True,
    apparmor=True,
    cgroups=Cgroups(2, False, frozenset(("cpu", "cpuset", "io", "memory", "pids", "hugetlb"))),
    drivers=(
        Driver("exec", "native", AVAILABLE),
        Driver("graph", "overlay", AVAILABLE),
        Driver("graph", "vfs", AVAILABLE),
        Driver("network", "bridge", AVAILABLE),
    ),
    tools=dict.fromkeys(
        ("nft", "iptables", "busybox", "ps", "ip", "mkfs.btrfs", "dmsetup", "apparmor_parser", "docker", "runc"),
        "/bin/x",
    ),
    folder="/var/lib",
    file_system="ext4",
    free_bytes=20 * GIB,
    memory_bytes=8 * GIB,
    available_memory_bytes=4 * GIB,
)
NOT_HERE = Availability("this kernel lacks it")


def verdicts(machine: Machine) -> dict[str, Verdict]:
    """The findings by name, which must be unique for a script to find them."""
    findings = diagnose(machine)
    found = {finding.name: finding.verdict for finding in findings}
    assert len(found) == len(findings)
    return found


def test_on_an_ideal_machine_everything_is_good() -> None:
    """No finding cries wolf: were one never content, nobody would read the report."""
    findings = diagnose(IDEAL)
    assert {finding.verdict for finding in findings} == {Verdict.GOOD}
    assert not any(finding.advice for finding in findings)
    assert exit_code(findings) == 0


@pytest.mark.parametrize(
    ("name", "machine"),
    [
        ("Python", replace(IDEAL, python=(3, 10, 9))),
        ("release", replace(IDEAL, kernel="4.19.0")),
        ("release", replace(IDEAL, kernel="5.9.16")),
        ("namespaces", replace(IDEAL, namespaces=IDEAL.namespaces - {"net"})),
        ("capabilities", replace(IDEAL, capabilities=IDEAL.capabilities - {"CAP_SYS_ADMIN"})),
        ("version", replace(IDEAL, cgroups=Cgroups())),
        ("disk", replace(IDEAL, free_bytes=GIB // 10)),
        ("memory", replace(IDEAL, available_memory_bytes=GIB // 10)),
        ("CONFIG_VETH", replace(IDEAL, kernel_options={"CONFIG_BRIDGE": "y", "CONFIG_NF_NAT": "y"})),
        ("any exec driver", replace(IDEAL, drivers=(Driver("exec", "native", NOT_HERE),))),
        ("network driver bridge", replace(IDEAL, drivers=(Driver("network", "bridge", NOT_HERE),))),
    ],
)
def test_what_no_container_runs_without_is_missing(name: str, machine: Machine) -> None:
    """Each makes the exit code 1, and each says what to do."""
    findings = diagnose(machine)
    finding = next(finding for finding in findings if finding.name == name)
    assert finding.verdict is Verdict.MISSING
    assert finding.advice or finding.detail
    assert exit_code(findings) == 1


@pytest.mark.parametrize(
    ("name", "machine"),
    [
        ("own machine", replace(IDEAL, container="docker")),
        ("AppArmor", replace(IDEAL, apparmor=False)),
        ("memory", replace(IDEAL, available_memory_bytes=GIB // 2)),
        ("io controller", replace(IDEAL, cgroups=Cgroups(1, True, frozenset(("memory", "cpu")))))
    ],
)  # fmt: skip
def test_what_the_house_stands_without_is_no_failure(name: str, machine: Machine) -> None:
    """A workshop can begin: something is slower, or one flag does nothing."""
    findings = diagnose(machine)
    assert next(finding for finding in findings if finding.name == name).verdict is Verdict.LACKING
    assert exit_code(findings) == 0


def test_one_driver_of_a_family_is_enough() -> None:
    """btrfs on ext4 is no fault of the machine's while overlay works; its own reason is shown."""
    drivers = (*IDEAL.drivers, Driver("graph", "btrfs", NOT_HERE))
    found = verdicts(replace(IDEAL, drivers=drivers))
    assert found["graph driver btrfs"] is Verdict.LACKING
    assert "any graph driver" not in found
    assert NOT_HERE.reason in as_text(diagnose(replace(IDEAL, drivers=drivers)))


def test_without_root_it_says_what_it_could_not_look_at() -> None:
    """Unknown is not missing: the exit code stays 0, and the advice is sudo."""
    machine = replace(
        IDEAL,
        is_root=False,
        capabilities=frozenset(),
        drivers=tuple(replace(driver, availability=None) for driver in IDEAL.drivers),
        kernel_options=None,
    )
    findings = diagnose(machine)
    unknown = [finding for finding in findings if finding.verdict is Verdict.UNKNOWN]
    asked = {f"{driver.family} driver {driver.name}" for driver in IDEAL.drivers}
    assert {finding.name for finding in unknown} == {"root", "configuration", *asked}
    assert "capabilities" not in {finding.name for finding in findings}
    assert all(finding.advice for finding in unknown)
    assert exit_code(findings) == 0
    assert "could not be looked at" in as_text(findings)


FINDINGS = st.builds(
    Finding,
    area=st.sampled_from(("machine", "tools")),
    name=st.text("ab c", min_size=1),
    verdict=st.sampled_from(Verdict),
    detail=st.text("xyz "),
    advice=st.text("uvw "),
)


@given(FINDINGS)
def test_text_and_json_say_the_same(finding: Finding) -> None:
    """Both forms carry every field, and the JSON's ``ok`` is the exit code."""
    text, told = as_text([finding]), json.loads(as_json([finding]))
    assert finding.verdict.value in text and finding.name.strip() in text and finding.advice.strip() in text
    assert told["ok"] is (exit_code([finding]) == 0)
    (told_finding,) = told["findings"]
    assert set(told_finding) == {field.name for field in fields(Finding)}
    assert told_finding == {
        "area": finding.area, "name": finding.name, "verdict": finding.verdict.name.lower(), "detail": finding.detail,
        "advice": finding.advice,
    }  # fmt: skip


def test_another_system_gets_one_clear_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a Mac nothing else can be said, and what to do is vagrant up."""
    monkeypatch.setattr(doctor.platform, "system", lambda: "Darwin")
    assert doctor.main([]) == 1
    assert "vagrant up" in capsys.readouterr().out


def test_words_it_does_not_understand(capsys: pytest.CaptureFixture[str]) -> None:
    """As every Unix command: 2, and usage on standard error."""
    assert doctor.main(["--nonsense"]) == 2
    assert "usage" in capsys.readouterr().err
    assert doctor.main(["--help"]) == 0


def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """It looks at the real thing, with root or without, and the two forms of the report agree."""
    code = doctor.main(["--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is (code == 0)
    found = {finding["name"]: finding for finding in told["findings"]}
    assert found["release"]["detail"] == os.uname().release
    assert found["root"]["detail"] == ("yes" if os.geteuid() == 0 else "no")


@pytest.mark.root
def test_an_examination_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Drivers are tried out for real; the place where that happened is as it was before, and is not made either."""
    assert doctor.main(["-g", str(tmp_path / "not" / "there")]) in (0, 1)
    assert list(tmp_path.iterdir()) == []
    assert f"MiB free in {tmp_path}" in capsys.readouterr().out
