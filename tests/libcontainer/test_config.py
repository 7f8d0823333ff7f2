"""The spec crosses to the supervisor as JSON: nothing may be lost, and nonsense must be named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.errors import Invalid
from mini_docker.libcontainer.config import (
    ContainerSpec,
    Device,
    Mount,
    Namespace,
    ProcessSpec,
    Resources,
    Rlimit,
    from_json,
    to_json,
)
from mini_docker.linux.id_mapping import IdMap

text = st.text(max_size=12)
specs = st.builds(
    ContainerSpec,
    process=st.builds(
        ProcessSpec,
        args=st.lists(text, max_size=3).map(tuple),
        env=st.lists(text, max_size=3).map(tuple),
        rlimits=st.lists(st.builds(Rlimit, text, st.integers(), st.integers()), max_size=2).map(tuple),
        seccomp=st.none() | st.dictionaries(text, text, max_size=2),
        oom_score_adj=st.none() | st.integers(-1000, 1000),
        terminal=st.booleans(),
    ),
    namespaces=st.lists(st.builds(Namespace, text, text), max_size=3).map(tuple),
    mounts=st.lists(st.builds(Mount, text, text, text, st.lists(text, max_size=3).map(tuple)), max_size=3).map(tuple),
    devices=st.lists(st.builds(Device, text, text, st.integers(), st.integers()), max_size=2).map(tuple),
    uid_map=st.lists(st.builds(IdMap, st.integers(), st.integers(), st.integers()), max_size=2).map(tuple),
    sysctls=st.dictionaries(text, text, max_size=2),
    resources=st.builds(Resources, memory_bytes=st.integers(), hugepages=st.dictionaries(text, st.integers())),
)


@given(specs)
def test_a_spec_survives_the_way_to_the_supervisor(spec: ContainerSpec) -> None:
    """What init makes is exactly what the daemon meant."""
    assert from_json(ContainerSpec, json.loads(json.dumps(to_json(spec)))) == spec


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"hostname": 3}, "ContainerSpec.hostname: expected str, got int"),
        ({"nonsense": 1}, "ContainerSpec: unknown field 'nonsense'"),
        ({"mounts": [{"destination": "/x"}]}, "ContainerSpec.mounts[0]"),
        ({"mounts": "no"}, "ContainerSpec.mounts: expected a list, got str"),
        ({"process": None}, "ContainerSpec.process: expected an object"),
        ({"sysctls": {"a": 1}}, "ContainerSpec.sysctls.a: expected str, got int"),
        ({"init": 1}, "ContainerSpec.init: expected bool, got int"),
    ],
)
def test_a_malformed_spec_is_refused_by_the_name_of_the_field(change: dict[str, object], where: str) -> None:
    """Whoever wrote it must find the place; a truth is no number here, nor the other way round."""
    good = to_json(ContainerSpec(ProcessSpec(("true",)), (Namespace("pid"),)))
    with pytest.raises(Invalid) as caught:
        from_json(ContainerSpec, {**good, **change})
    assert where in str(caught.value)
