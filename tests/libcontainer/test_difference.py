"""A spec said as what differs from another one: nothing is lost, and what is alike is not said."""

from __future__ import annotations

import json

from hypothesis import given

from mini_docker.dataclasses import fields, is_dataclass, replace
from mini_docker.libcontainer import config
from mini_docker.libcontainer.config import ContainerSpec, Mount, ProcessSpec
from mini_docker.libcontainer.difference import changed, difference
from tests.libcontainer.test_config import specs

MODEL = ContainerSpec(
    ProcessSpec(("sh",), env=("PATH=/bin", "HOSTNAME=one")),
    (),
    mounts=(Mount("/proc", "proc", "proc"), Mount("/etc/hosts", "bind", "/run/one/hosts")),
)


@given(specs, specs)
def test_model_and_difference_make_the_value(value: ContainerSpec, model: ContainerSpec) -> None:
    """Of any two specs, the one is made of the other and of what differs."""
    assert changed(model, json.loads(json.dumps(difference(value, model)))) == value


@given(specs)
def test_of_what_is_alike_nothing_is_said(spec: ContainerSpec) -> None:
    """A twin of the model is told nothing."""
    assert difference(spec, spec) == {}


def test_only_what_differs_is_said() -> None:
    """Of a tuple of the same length those items, of an object those fields."""
    process = replace(MODEL.process, env=("PATH=/bin", "HOSTNAME=two"))
    mounts = (MODEL.mounts[0], replace(MODEL.mounts[1], source="/run/two/hosts"))
    assert difference(replace(MODEL, process=process, mounts=mounts), MODEL) == {
        "process": {"env": {"1": "HOSTNAME=two"}},
        "mounts": {"1": {"source": "/run/two/hosts"}},
    }


def test_a_tuple_of_another_length_is_said_whole() -> None:
    """What stands where is only clear between tuples of one length."""
    assert difference(replace(MODEL, mounts=MODEL.mounts[:1]), MODEL) == {
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]
    }


def test_every_field_of_a_spec_is_compared() -> None:
    """What ``==`` passes over would be told nobody: a container would get its model's."""
    classes = [cls for cls in vars(config).values() if is_dataclass(cls)]
    assert ContainerSpec in classes
    assert [f"{cls.__name__}.{field.name}" for cls in classes for field in fields(cls) if not field.compare] == []
