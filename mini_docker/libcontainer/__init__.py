"""libcontainer: makes a container out of kernel features, without any helper binary.

Read `config.py` (what a container is, as data), `terms.py` (what a newborn is told), `parent.py` and `init.py` (the
two halves that make one), `dialogue.py` (how they speak), then the plans: `rootfs_plan.py` and its hand `rootfs.py`,
`namespaces.py`, `privileges.py`, `cgroups/`, `seccomp/`.
"""
