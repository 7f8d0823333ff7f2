"""The job ``build``: a playwright's director. Each line of the script is played by a container, and what it leaves
behind is the next image.

RUN is create, start, wait, commit; COPY is create, container_extract, commit; an instruction about how the image
is run is create and commit without a start. It asks the engine for jobs and knows nothing of who does them.

Source: classic Docker's ``builder/`` (1.3); the lines are those that the stock client prints.
"""

from __future__ import annotations

import io
import json
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from mini_docker.builder.context import Context, Move, moved
from mini_docker.builder.dockerfile import EXPANDED, Instruction, expand, parse
from mini_docker.dataclasses import dataclass, field, replace
from mini_docker.engine import Job
from mini_docker.errors import CannotExecute, Invalid, NotFound, Unsupported
from mini_docker.remote_api import FRAME_HEADER_SIZE, STDERR, parse_frame_header

CONFIGURING = frozenset({"CMD", "ENTRYPOINT", "ENV", "EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"})
"""Instructions that say how the image is run: commit carries them out."""

DEFAULT_SHELL = ("/bin/sh", "-c")

FOLDER_BIT = 1 << 31
"""Of a path's mode in the Remote API, which is Go's."""


class StepFailed(CannotExecute):
    """A RUN's command ended with another exit code than 0, which becomes the client's."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What is to be built.

    Attributes:
        dockerfile: its path in the context.
        names: ``name:tag``, each to be given to the image.
        arguments: values for the script's ARGs.
        labels: put on the image beside the script's own.
        target: the stage to stop after; empty for the last.
        use_cache: take what an earlier build made of the same instruction on the same image.
        keep_containers: leave the intermediate containers.
        pull: ask the registry for base images although they are here.
        quiet: say the image's id and no more.
    """

    dockerfile: str
    names: tuple[str, ...]
    arguments: Mapping[str, str]
    labels: Mapping[str, str]
    target: str
    use_cache: bool
    keep_containers: bool
    pull: bool
    quiet: bool

    @classmethod
    def decode(cls, job: Job) -> BuildRequest:
        """Read the job's environment.

        Raises:
            Unsupported: the context is to be fetched from elsewhere.
        """
        env = job.env
        if env.get("remote", ""):
            raise Unsupported("a context from a URL is not fetched here: fetch it, and send it as a tar")
        return cls(
            env.get("dockerfile", "") or "Dockerfile", tuple(env.get_list("t")), env.get_json("buildargs") or {},
            env.get_json("labels") or {}, env.get("target", ""), not env.get_bool("nocache"),
            not env.get_bool("rm", True), env.get_bool("pull"), env.get_bool("q"),
        )  # fmt: skip


@dataclass
class _Stage:
    """Where a build stands: the image so far, how it is run, and by which names later stages call it."""

    image: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    shell: tuple[str, ...] = DEFAULT_SHELL
    author: str = ""
    names: tuple[str, ...] = ()


def build(job: Job) -> None:
    """Carry out a Dockerfile. Standard input is the context, standard output the progress.

    Raises:
        Invalid: the script or the context is wrong. StepFailed: a RUN failed. Others as the jobs it asks for.
    """
    request = BuildRequest.decode(job)
    context = Context(job.stdin)
    try:
        _Build(job, request, context).run()
    finally:
        context.close()


class _Build:
    """One build."""

    def __init__(self, job: Job, request: BuildRequest, context: Context) -> None:
        self._job = job
        self._request = request
        self._context = context
        self._instructions = parse(context.text(request.dockerfile))
        self._global_arguments: dict[str, str] = {}
        self._stages: dict[str, str] = {}  # name or number → image
        self._stage = _Stage()

    def run(self) -> None:
        """Every instruction, then the names."""
        begun = 0
        for number, instruction in enumerate(self._instructions, 1):
            if instruction.word == "FROM" and self._is_target():
                break
            self._say(f"Step {number}/{len(self._instructions)} : {instruction}\n")
            self._job.check_cancelled()
            begun += instruction.word == "FROM"
            self._carry_out(instruction, begun - 1)
            if begun:
                self._stages |= dict.fromkeys(self._stage.names, self._stage.image)
                self._say(f" ---> {_short(self._stage.image)}\n")
        if self._request.target and not self._is_target():
            raise Invalid(f"failed to reach build target {self._request.target} in Dockerfile")
        if self._request.labels:
            self._configure(
                "LABEL " + " ".join(f"{json.dumps(k)}={json.dumps(v)}" for k, v in self._request.labels.items())
            )
        self._finish()

    def _is_target(self) -> bool:
        return self._request.target.lower() in self._stage.names

    def _carry_out(self, instruction: Instruction, stage_number: int) -> None:
        if instruction.word in EXPANDED:
            variables = self._variables() if instruction.word != "FROM" else self._global_arguments
            instruction = replace(instruction, rest=expand(instruction.rest, variables))
        match instruction.word:
            case "FROM":
                self._from(instruction, stage_number)
            case "ARG":
                self._arg(instruction)
            case "RUN":
                self._run(instruction)
            case "COPY" | "ADD":
                self._copy(instruction)
            case "SHELL":
                self._stage.shell = tuple(instruction.words())
            case "MAINTAINER":
                self._stage.author = instruction.rest
            case _:
                assert instruction.word in CONFIGURING
                self._configure(str(instruction))

    # -- instructions -------------------------------------------------------------------------------

    def _from(self, instruction: Instruction, number: int) -> None:
        words = instruction.rest.split()
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
            raise Invalid(f"line {instruction.line}: FROM requires either one or three arguments")
        base = words[0]
        self._stage = _Stage()
        base = self._stages.get(base.lower(), base)
        if base != "scratch":
            found = self._image(base)
            self._stage.image, self._stage.config = found["Id"], found["Config"]
        self._stage.names = (str(number), *(word.lower() for word in words[2:]))

    def _image(self, name: str) -> dict[str, Any]:
        """The base image, pulled when it is not here."""
        if not self._request.pull or name.startswith("sha256:"):
            try:
                return self._inspect(name)
            except NotFound:
                pass
        pull = self._job.child("pull")
        pull.env["fromImage"] = name
        pull.stdout.add(self._job.stdout)
        pull.run()
        return self._inspect(name)

    def _inspect(self, image: str) -> dict[str, Any]:
        whole: dict[str, Any] = _answer(self._job.child("image_inspect", image))
        return whole

    def _arg(self, instruction: Instruction) -> None:
        name, equals, default = instruction.rest.partition("=")
        value = self._request.arguments.get(name, default.strip("\"'") if equals else None)
        if value is not None:
            target = self._stage.arguments if self._stages else self._global_arguments
            target[name] = value
        elif name in self._global_arguments and self._stages:
            self._stage.arguments[name] = self._global_arguments[name]

    def _run(self, instruction: Instruction) -> None:
        command = instruction.json_form() or [*self._stage.shell, instruction.rest]
        arguments = [f"{name}={value}" for name, value in self._stage.arguments.items()]
        created_by = " ".join([f"|{len(arguments)}", *arguments, *command] if arguments else command)
        if self._from_cache(created_by):
            return
        with self._container(command, environment=arguments) as container:
            self._say(f" ---> Running in {_short(container)}\n")
            self._job.child("start", container).run()
            self._show_output(container)
            code = _answer(self._job.child("wait", container))["StatusCode"]
            if code:
                raise StepFailed(f"The command '{' '.join(command)}' returned a non-zero code: {code}", code)
            self._commit(container, created_by)

    def _copy(self, instruction: Instruction) -> None:
        *sources, target = instruction.words()
        if not sources:
            raise Invalid(f"line {instruction.line}: {instruction.word} requires at least two arguments")
        if any("://" in source for source in sources):
            raise Unsupported("ADD of a URL is not done here: fetch it with RUN")
        into = target.endswith("/") or len(sources) > 1 or target in (".", "..")
        target = posixpath.normpath(posixpath.join(self._stage.config.get("WorkingDir") or "/", target))
        if "from" in instruction.flags:
            self._copy_from_image(instruction.flags["from"], sources, target, into)
            return
        matches = [match for source in sources for match in self._context.match(source)]
        # Where a single file goes, the image must be asked: it may have a folder there. A folder goes there as it is.
        into = into or len(matches) > 1 or (not self._context.is_folder(matches[0]) and self._is_folder(target))
        moves = []
        for match in matches:
            unpacked = instruction.word == "ADD" and self._context.is_archive(match)
            inside = into and not unpacked and not self._context.is_folder(match)
            moves.append(Move(match, posixpath.join(target, posixpath.basename(match)) if inside else target, unpacked))
        layer, digest = self._context.placed(moves, _owner(instruction))
        with layer:
            created_by = " ".join([*DEFAULT_SHELL, f"#(nop) {instruction.word} multi:{digest} in {target} "])
            if not self._from_cache(created_by):
                with self._container([created_by]) as container:
                    self._extract(container, layer)
                    self._commit(container, created_by)

    def _copy_from_image(self, name: str, sources: list[str], target: str, into: bool) -> None:
        image = self._stages.get(name.lower()) or self._image(name)["Id"]
        created_by = " ".join([*DEFAULT_SHELL, f"#(nop) COPY {' '.join(sources)} from {image} in {target} "])
        if self._from_cache(created_by):
            return
        with self._container([created_by], image) as giver, self._container([created_by]) as taker:
            for source in sources:
                copy = self._job.child("container_copy", giver)
                copy.env["path"] = source
                # The first line says what stands there; the tar follows.
                facts, _, tar = copy.output().partition(b"\n")
                is_folder = bool(json.loads(facts)["mode"] & FOLDER_BIT)
                with moved(tar, target, into and not is_folder) as layer:
                    self._extract(taker, layer)
            self._commit(taker, created_by)

    def _configure(self, change: str) -> None:
        created_by = " ".join([*DEFAULT_SHELL, f"#(nop)  {change}"])
        if not self._from_cache(created_by):
            with self._container([created_by]) as container:
                self._commit(container, created_by, change)

    # -- what instructions have in common -------------------------------------------------------------

    def _variables(self) -> dict[str, str]:
        """What ``$name`` means: ARGs, and what ENV said, which wins."""
        environment = (word.partition("=") for word in self._stage.config.get("Env") or ())
        return self._stage.arguments | {name: value for name, _, value in environment}

    @contextmanager
    def _container(self, command: Sequence[str], image: str = "", environment: Sequence[str] = ()) -> Iterator[str]:
        """A container on the image so far, removed again whatever happens."""
        config = {
            **self._stage.config, "Image": image or self._stage.image, "Cmd": list(command), "Entrypoint": [],
            "Env": [*(self._stage.config.get("Env") or ()), *environment], "Tty": False, "OpenStdin": False,
        }  # fmt: skip
        container: str = _answer(_with_body(self._job.child("create"), config))["Id"]
        try:
            yield container
        finally:
            if not self._request.keep_containers:
                delete = self._job.child("delete", container)
                delete.env.set_bool("force", True)
                delete.env.set_bool("v", True)
                delete.run()

    def _extract(self, container: str, layer: IO[bytes]) -> None:
        job = self._job.child("container_extract", container)
        job.env["path"] = "/"
        job.stdin.set(layer)
        job.run()

    def _is_folder(self, path: str) -> bool:
        """Whether the image so far has a folder there."""
        with self._container(["#(nop) look"]) as container:
            look = self._job.child("container_stat", container)
            look.env["path"] = path
            try:
                return bool(json.loads(look.output())["mode"] & FOLDER_BIT)
            except NotFound:
                return False

    def _commit(self, container: str, created_by: str, change: str = "") -> None:
        """Make the container the next image. How that is run is the last image's way and the change, not its own."""
        job = _with_body(self._job.child("commit"), {**self._stage.config, "Image": self._stage.image})
        job.env["container"] = container
        job.env["author"] = self._stage.author
        job.env["created_by"] = created_by
        job.env.set_bool("pause", False)
        kept = [word for word in ("Cmd", "Entrypoint") if not self._stage.config.get(word)]
        job.env.set_list("changes", [*(f"{word.upper()} []" for word in kept), *([change] if change else [])])
        self._take(_answer(job)["Id"])
        if not self._request.keep_containers:
            self._say(f"Removing intermediate container {_short(container)}\n")

    def _take(self, image: str) -> None:
        self._stage.image = image
        self._stage.config = self._inspect(image)["Config"]

    def _from_cache(self, created_by: str) -> bool:
        """Take what an earlier build made of the same instruction on the same image, if there is such a one."""
        if not self._request.use_cache or not self._stage.image:
            return False
        images = self._job.child("images")
        images.env.set_bool("all", True)
        for image in _answer(images):
            if image["ParentId"] != self._stage.image:
                continue
            if _answer(self._job.child("history", image["Id"]))[0]["CreatedBy"] == created_by:
                self._say(" ---> Using cache\n")
                self._take(image["Id"])
                return True
        return False

    def _show_output(self, container: str) -> None:
        """The command's output, as it comes; its error output in red, as the stock client expects it."""
        logs = self._job.child("logs", container)
        for word in ("stdout", "stderr", "follow"):
            logs.env.set_bool(word, True)
        logs.stdout.add(_Demultiplexer(self._say))
        logs.run()

    def _finish(self) -> None:
        image = self._stage.image
        if self._request.quiet:
            self._write({"stream": f"{image}\n"})
        self._write({"aux": {"ID": image}})
        self._say(f"Successfully built {_short(image)}\n")
        for name in self._request.names:
            repository, colon, tag = name.rpartition(":")
            if not colon or "/" in tag:
                repository, tag = name, "latest"
            self._job.child("tag", image, repository, tag).run()
            self._say(f"Successfully tagged {repository}:{tag}\n")

    def _say(self, text: str) -> None:
        if not self._request.quiet:
            self._write({"stream": text})

    def _write(self, line: dict[str, Any]) -> None:
        self._job.stdout.write(json.dumps(line).encode() + b"\n")


class _Demultiplexer:
    """Takes the frames of a log and says what is in them."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._rest = b""

    def write(self, data: bytes) -> None:
        """Take a piece of the log, cut anywhere."""
        self._rest += data
        while len(self._rest) >= FRAME_HEADER_SIZE:
            stream, length = parse_frame_header(self._rest[:FRAME_HEADER_SIZE])
            if len(self._rest) < FRAME_HEADER_SIZE + length:
                return
            text = self._rest[FRAME_HEADER_SIZE : FRAME_HEADER_SIZE + length].decode(errors="replace")
            self._say(f"\x1b[91m{text}\x1b[0m" if stream == STDERR else text)
            self._rest = self._rest[FRAME_HEADER_SIZE + length :]


def _with_body(job: Job, body: dict[str, Any]) -> Job:
    job.stdin.set(io.BytesIO(json.dumps(body).encode()))
    return job


def _answer(job: Job) -> Any:
    return json.loads(job.output())


def _owner(instruction: Instruction) -> tuple[int, int]:
    """``--chown=UID[:GID]``, by number.

    Raises:
        Unsupported: a name: whose number it is, only the image's own files know.
    """
    user, _, group = instruction.flags.get("chown", "0").partition(":")
    if not user.isdigit() or not (group or "0").isdigit():
        raise Unsupported(f"line {instruction.line}: --chown takes numbers here, not names")
    return int(user), int(group or user)


def _short(id: str) -> str:
    return id.removeprefix("sha256:")[:12]
