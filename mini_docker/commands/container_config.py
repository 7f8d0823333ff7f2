"""The order form of ``run`` and ``create``: the table of their flags, and the plan of what to ask for.

Pure: `create_request` turns parsed flags into the body of ``POST /containers/create``. What the user
did not say is left out, so that the daemon's default applies.
"""

from __future__ import annotations

from mini_docker.commands import specs
from mini_docker.commands.options import BYTES, CPUS, INT, LIST, MEMORY_SWAP, STRING, SWITCH, Flag

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mini_docker.commands.options import Options

RESOURCE_FLAGS = (
    Flag("blkio-weight", "", INT, "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
    Flag("cpu-period", "", INT, "Limit CPU CFS (Completely Fair Scheduler) period, in microseconds"),
    Flag("cpu-quota", "", INT, "Limit CPU CFS (Completely Fair Scheduler) quota, in microseconds"),
    Flag("cpu-shares", "c", INT, "CPU shares (relative weight)"),
    Flag("cpus", "", CPUS, "Number of CPUs"),
    Flag("cpuset-cpus", "", STRING, "CPUs in which to allow execution (0-3, 0,1)"),
    Flag("cpuset-mems", "", STRING, "MEMs in which to allow execution (0-3, 0,1)"),
    Flag("memory", "m", BYTES, "Memory limit"),
    Flag("memory-reservation", "", BYTES, "Memory soft limit"),
    Flag("memory-swap", "", MEMORY_SWAP, "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
    Flag("pids-limit", "", INT, "Tune container pids limit (set -1 for unlimited)"),
)  # fmt: skip
"""Limits that `update` can change later too."""

_RESOURCES = {
    "blkio-weight": "BlkioWeight", "cpu-period": "CpuPeriod", "cpu-quota": "CpuQuota", "cpu-shares": "CpuShares",
    "cpus": "NanoCpus", "cpuset-cpus": "CpusetCpus", "cpuset-mems": "CpusetMems", "memory": "Memory",
    "memory-reservation": "MemoryReservation", "memory-swap": "MemorySwap", "pids-limit": "PidsLimit",
}  # fmt: skip

CONTAINER_FLAGS = (
    *RESOURCE_FLAGS,
    Flag("add-host", "", LIST, "Add a custom host-to-IP mapping (host:ip)"),
    Flag("attach", "a", LIST, "Attach to STDIN, STDOUT or STDERR"),
    Flag("cap-add", "", LIST, "Add Linux capabilities"),
    Flag("cap-drop", "", LIST, "Drop Linux capabilities"),
    Flag("cgroup-parent", "", STRING, "Optional parent cgroup for the container"),
    Flag("cgroupns", "", STRING, "Cgroup namespace to use (host|private)"),
    Flag("cidfile", "", STRING, "Write the container ID to the file"),
    Flag("device", "", LIST, "Add a host device to the container"),
    Flag("dns", "", LIST, "Set custom DNS servers"),
    Flag("dns-opt", "", LIST, "Set DNS options"),
    Flag("dns-option", "", LIST, "Set DNS options"),
    Flag("dns-search", "", LIST, "Set custom DNS search domains"),
    Flag("domainname", "", STRING, "Container NIS domain name"),
    Flag("entrypoint", "", STRING, "Overwrite the default ENTRYPOINT of the image"),
    Flag("env", "e", LIST, "Set environment variables"),
    Flag("env-file", "", LIST, "Read in a file of environment variables"),
    Flag("expose", "", LIST, "Expose a port or a range of ports"),
    Flag("group-add", "", LIST, "Add additional groups to join"),
    Flag("hostname", "h", STRING, "Container host name"),
    Flag("init", "", SWITCH, "Run an init inside the container that forwards signals and reaps processes"),
    Flag("interactive", "i", SWITCH, "Keep STDIN open even if not attached"),
    Flag("ip", "", STRING, "IPv4 address (e.g., 172.30.100.104)"),
    Flag("ip6", "", STRING, "IPv6 address (e.g., 2001:db8::33)"),
    Flag("ipc", "", STRING, "IPC mode to use"),
    Flag("label", "l", LIST, "Set meta data on a container"),
    Flag("link", "", LIST, "Add link to another container"),
    Flag("log-driver", "", STRING, "Logging driver for the container"),
    Flag("log-opt", "", LIST, "Log driver options"),
    Flag("mac-address", "", STRING, "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Flag("mount", "", LIST, "Attach a filesystem mount to the container"),
    Flag("name", "", STRING, "Assign a name to the container"),
    Flag("net", "", STRING, "Connect a container to a network"),
    Flag("network", "", STRING, "Connect a container to a network"),
    Flag("network-alias", "", LIST, "Add network-scoped alias for the container"),
    Flag("oom-score-adj", "", INT, "Tune host's OOM preferences (-1000 to 1000)"),
    Flag("pid", "", STRING, "PID namespace to use"),
    Flag("platform", "", STRING, "Set platform if server is multi-platform capable"),
    Flag("privileged", "", SWITCH, "Give extended privileges to this container"),
    Flag("publish", "p", LIST, "Publish a container's port(s) to the host"),
    Flag("publish-all", "P", SWITCH, "Publish all exposed ports to random ports"),
    Flag("pull", "", STRING, "Pull image before creating (always|missing|never)", "missing"),
    Flag("quiet", "q", SWITCH, "Suppress the pull output"),
    Flag("read-only", "", SWITCH, "Mount the container's root filesystem as read only"),
    Flag("restart", "", STRING, "Restart policy to apply when a container exits", "no"),
    Flag("rm", "", SWITCH, "Automatically remove the container and its anonymous volumes when it exits"),
    Flag("runtime", "", STRING, "Runtime to use for this container"),
    Flag("security-opt", "", LIST, "Security Options"),
    Flag("shm-size", "", BYTES, "Size of /dev/shm"),
    Flag("stop-signal", "", STRING, "Signal to stop the container"),
    Flag("stop-timeout", "", INT, "Timeout (in seconds) to stop a container"),
    Flag("storage-opt", "", LIST, "Storage driver options for the container"),
    Flag("sysctl", "", LIST, "Sysctl options"),
    Flag("tmpfs", "", LIST, "Mount a tmpfs directory"),
    Flag("tty", "t", SWITCH, "Allocate a pseudo-TTY"),
    Flag("ulimit", "", LIST, "Ulimit options"),
    Flag("user", "u", STRING, "Username or UID (format: <name|uid>[:<group|gid>])"),
    Flag("userns", "", STRING, "User namespace to use"),
    Flag("uts", "", STRING, "UTS namespace to use"),
    Flag("volume", "v", LIST, "Bind mount a volume"),
    Flag("volume-driver", "", STRING, "Optional volume driver for the container"),
    Flag("volumes-from", "", LIST, "Mount volumes from the specified container(s)"),
    Flag("workdir", "w", STRING, "Working directory inside the container"),
)

_HOST_CONFIG = {
    "cgroup-parent": "CgroupParent", "cgroupns": "CgroupnsMode", "dns": "Dns", "dns-search": "DnsSearch",
    "add-host": "ExtraHosts", "group-add": "GroupAdd", "init": "Init", "ipc": "IpcMode", "link": "Links",
    "oom-score-adj": "OomScoreAdj", "pid": "PidMode", "privileged": "Privileged", "publish-all": "PublishAllPorts",
    "read-only": "ReadonlyRootfs", "rm": "AutoRemove", "runtime": "Runtime", "security-opt": "SecurityOpt",
    "shm-size": "ShmSize", "userns": "UsernsMode", "uts": "UTSMode", "volume-driver": "VolumeDriver",
    "volumes-from": "VolumesFrom", "cidfile": "ContainerIDFile",
}  # fmt: skip
"""Flags whose value is a field of HostConfig as it is."""

_CONFIG = {
    "domainname": "Domainname", "hostname": "Hostname", "mac-address": "MacAddress", "stop-signal": "StopSignal",
    "stop-timeout": "StopTimeout", "user": "User", "workdir": "WorkingDir", "tty": "Tty", "interactive": "OpenStdin",
}  # fmt: skip
"""Flags whose value is a field of Config as it is."""

STREAMS = ("stdin", "stdout", "stderr")


def resources(options: Options) -> dict[str, Any]:
    """The limits that were given, as fields of HostConfig (or of an update)."""
    return {field: options[flag] for flag, field in _RESOURCES.items() if flag in options.given}


def attached_streams(options: Options, detach: bool) -> set[str]:
    """Which of stdin, stdout and stderr the client will attach to.

    Raises:
        ValueError: ``-a`` names something else, or comes with ``-d``.
    """
    named = {word.lower() for word in options["attach"]}
    if strange := named - set(STREAMS):
        raise ValueError(f"valid streams are STDIN, STDOUT and STDERR, not {', '.join(sorted(strange))}")
    if detach:
        if named:
            raise ValueError("Conflicting options: -a and -d")
        return set()
    if named:
        return named
    return {"stdout", "stderr"} | ({"stdin"} if options["interactive"] else set())


def create_request(options: Options, attach: set[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """The body of ``POST /containers/create``.

    Args:
        attach: the result of `attached_streams`.
        environ: our own environment, for ``-e NAME``. ``--env-file`` files are read here.

    Raises:
        ValueError: a flag's value is not understood; the message is the user's.
        OSError: a file that a flag names cannot be read.
    """
    image, *command = options.args
    body: dict[str, Any] = {"Image": image}
    body |= {field: options[flag] for flag, field in _CONFIG.items() if flag in options.given}
    body |= {f"Attach{stream.capitalize()}": stream in attach for stream in STREAMS}
    body["StdinOnce"] = options["interactive"] and "stdin" in attach
    if command:
        body["Cmd"] = command
    if "entrypoint" in options.given:
        # An empty word takes the image's entry point away.
        body["Entrypoint"] = [options["entrypoint"]]
    if env := _env(options, environ):
        body["Env"] = env
    if options["label"]:
        body["Labels"] = specs.parse_pairs(options["label"])
    if anonymous := [word for word in options["volume"] if not specs.is_bind(word)]:
        body["Volumes"] = {path: {} for path in anonymous}
    bindings, exposed = _ports(options)
    if exposed:
        body["ExposedPorts"] = exposed
    body["HostConfig"] = _host_config(options, bindings)
    if endpoint := _endpoint(options):
        body["NetworkingConfig"] = {"EndpointsConfig": {network_mode(options): endpoint}}
    return body


def network_mode(options: Options) -> str:
    """The network that was asked for: ``default`` is the daemon's to choose."""
    mode: str = options["network"] or options["net"] or "default"
    return mode


def _env(options: Options, environ: Mapping[str, str]) -> list[str]:
    words: list[str] = []
    for path in options["env-file"]:
        with open(path, encoding="utf-8") as file:
            words += specs.parse_env_file(file.read(), path)
    return specs.parse_env([*words, *options["env"]], environ)


def _ports(options: Options) -> tuple[dict[str, list[dict[str, str]]], dict[str, dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for word in options["publish"]:
        for port, address, host_port in specs.parse_ports(word):
            bindings.setdefault(port, []).append({"HostIp": address, "HostPort": host_port})
    exposed: dict[str, dict[str, str]] = {port: {} for port in bindings}
    for word in options["expose"]:
        exposed |= {port: {} for port in specs.parse_expose(word)}
    return bindings, exposed


def _host_config(options: Options, bindings: dict[str, list[dict[str, str]]]) -> dict[str, Any]:
    host: dict[str, Any] = {
        "NetworkMode": network_mode(options),
        "RestartPolicy": specs.parse_restart(options["restart"]),
    }
    if options["rm"] and options["restart"] not in ("", "no"):
        raise ValueError("conflicting options: cannot specify both --restart and --rm")
    host |= {field: options[flag] for flag, field in _HOST_CONFIG.items() if flag in options.given}
    host |= resources(options)
    # The longer fields, each a list or map in a little language of its own.
    made = {
        "Binds": [specs.parse_volume(word) for word in options["volume"] if specs.is_bind(word)],
        "PortBindings": bindings,
        "DnsOptions": [*options["dns-opt"], *options["dns-option"]],
        "CapAdd": sorted(specs.parse_capability(word) for word in options["cap-add"]),
        "CapDrop": sorted(specs.parse_capability(word) for word in options["cap-drop"]),
        "Devices": [specs.parse_device(word) for word in options["device"]],
        "Ulimits": [specs.parse_ulimit(word) for word in options["ulimit"]],
        "Mounts": [specs.parse_mount(word) for word in options["mount"]],
        "Sysctls": specs.parse_pairs(options["sysctl"]),
        "StorageOpt": specs.parse_pairs(options["storage-opt"]),
        "Tmpfs": {path: how for path, _, how in (word.partition(":") for word in options["tmpfs"])},
    }
    host |= {field: value for field, value in made.items() if value}
    if options["log-driver"] or options["log-opt"]:
        host["LogConfig"] = {"Type": options["log-driver"], "Config": specs.parse_pairs(options["log-opt"])}
    return host


def _endpoint(options: Options) -> dict[str, Any]:
    """What was asked for on the network itself: addresses and aliases."""
    endpoint: dict[str, Any] = {}
    address = {"IPv4Address": options["ip"], "IPv6Address": options["ip6"]}
    if any(address.values()):
        endpoint["IPAMConfig"] = {name: value for name, value in address.items() if value}
    if options["network-alias"]:
        endpoint["Aliases"] = list(options["network-alias"])
    return endpoint
