"""The Vagrantfile, read without Vagrant: what it asks of each provider on each kind of host, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
VAGRANTFILE = HERE.parents[1] / "Vagrantfile"
OURS = "mini-docker/bookworm64"

pytestmark = pytest.mark.skipif(shutil.which("ruby") is None, reason="ruby is not installed (it comes with vagrant)")


def read(
    cpu: str = "x86_64", system: str = "linux-gnu", *, vagrant: str = "2.3.4", kvm: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The Vagrantfile, as Vagrant of that version on such a host would read it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MINI_DOCKER", "VAGRANT"))}
    return subprocess.run(
        ["ruby", HERE / "vagrantfile_reader.rb", VAGRANTFILE, vagrant, cpu, system, "KVM" if kvm else "-"],
        env={**kept, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def asked(*host: str, **environment: str) -> dict[str, Any]:
    """The settings of the machine."""
    settings: dict[str, Any] = json.loads(read(*host, **environment).stdout)["vm"]
    return settings


def obstacles(*host: str, kvm: bool = True, **environment: str) -> dict[str, str | None]:
    """What is said before `vagrant up`, by provider."""
    said: dict[str, str | None] = json.loads(read(*host, kvm=kvm, **environment).stdout)["obstacles"]
    return said


@pytest.mark.parametrize("cpu", ["x86_64", "aarch64"])
@pytest.mark.parametrize("system", ["linux-gnu", "darwin22"])
def test_every_provider_gets_the_machine_that_was_asked_for(cpu: str, system: str) -> None:
    """One box, which exists for both processors; the checkout is copied, for all providers can do that."""
    machine = asked(cpu, system, MINI_DOCKER_CPUS="3", MINI_DOCKER_MEMORY="4096")
    assert machine["box"] == "debian/bookworm64"
    assert machine["synced_folder ."]["type"] == "rsync"
    for provider in ("virtualbox", "libvirt"):
        assert (machine[f"provider {provider}"]["cpus"], machine[f"provider {provider}"]["memory"]) == (3, 4096)
        assert "driver" not in machine[f"provider {provider}"]
    assert (machine["provider qemu"]["smp"], machine["provider qemu"]["memory"]) == ("3", "4096M")
    assert obstacles(cpu, system) == {"virtualbox": None, "libvirt": None, "qemu": None}


def test_qemu_is_told_the_processor_unless_it_is_an_apple_machine() -> None:
    """The plugin presumes an Apple machine: everywhere else it needs other words."""
    assert asked("arm64", "darwin22")["provider qemu"].keys() == {"smp", "memory"}
    assert asked("x86_64", "darwin22")["provider qemu"]["arch"] == "x86_64"
    assert "kvm" in asked("x86_64")["provider qemu"]["machine"]
    on_arm = asked("aarch64")["provider qemu"]
    assert "arch" not in on_arm and on_arm["machine"].startswith("virt,accel=kvm")


def test_an_emulated_processor() -> None:
    """MINI_DOCKER_EMULATE=1: libvirt asks QEMU for it, and Vagrant is patient."""
    machine = asked(MINI_DOCKER_EMULATE="1")
    assert (machine["provider libvirt"]["driver"], machine["provider libvirt"]["cpu_model"]) == ("qemu", "qemu64")
    assert machine["boot_timeout"] == 600
    assert "accel" not in machine["provider qemu"]["machine"]


def test_no_virtualization_is_one_sentence() -> None:
    """libvirt alone: QEMU's plugin emulates by itself, VirtualBox has words of its own."""
    said = obstacles(kvm=False)
    assert said["libvirt"] is not None and "/dev/kvm" in said["libvirt"] and "MINI_DOCKER_EMULATE=1" in said["libvirt"]
    assert "\n" not in said["libvirt"]
    assert (said["virtualbox"], said["qemu"]) == (None, None)
    assert obstacles(kvm=False, MINI_DOCKER_EMULATE="1")["libvirt"] is None
    assert obstacles("arm64", "darwin22", kvm=False)["libvirt"] is None


def test_no_box_is_one_sentence(tmp_path: Path) -> None:
    """Our own box is in no catalogue that Vagrant could look into."""
    wanted = {"MINI_DOCKER_BOX": OURS, "VAGRANT_HOME": str(tmp_path)}
    sentence = f"The box {OURS} is not here: 'vm/build-box --add' builds it."
    assert obstacles(**wanted) == {"virtualbox": sentence, "libvirt": sentence, "qemu": sentence}
    (tmp_path / "boxes" / OURS.replace("/", "-VAGRANTSLASH-")).mkdir(parents=True)
    assert obstacles(**wanted)["libvirt"] is None


def test_an_old_vagrant_is_one_sentence() -> None:
    """Before anything else: what follows may not be understood by it."""
    done = read(vagrant="2.2.19")
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert "2.2.19 is too old" in sentence and "2.3.4" in sentence
    assert read(vagrant="2.4.1").returncode == 0
