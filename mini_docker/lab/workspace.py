"""The workspace: the learner's desk. One folder a lab, which is a layer over mini_docker, and the diary.

    my desk/
      progress.jsonl
      01_engine_and_job/mini_docker/engine/job.py      the learner's, over ours of the same path
      backups/                                         what `reset` put aside

Nothing here but `reset` ever replaces a file of the learner's. It knows labs by name, and not how they are graded.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from mini_docker.errors import NotFound
from mini_docker.lab.lab import Blank, Lab
from mini_docker.lab.progress import Progress
from mini_docker.lab.scratch import left_behind
from mini_docker.lab.starter import make_starter

VARIABLE = "MINI_DOCKER_WORKSPACE"
_DIARY = "progress.jsonl"
_BACKUPS = "backups"


def default_folder() -> Path:
    """Where the desk stands when nobody says: in the home of the person, also when they came through sudo."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()
    user = os.environ.get("SUDO_USER")
    home = Path(pwd.getpwnam(user).pw_dir) if user and os.geteuid() == 0 else Path.home()
    return home / "mini-docker-labs"


class Workspace:
    """One learner's desk.

    Args:
        folder: of the desk; it need not exist yet.
        checkout: whose code the starters are made from.
    """

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.folder = folder
        self.checkout = checkout
        self.progress = Progress(folder / _DIARY)

    def layer(self, lab: Lab) -> Path:
        """The lab's layer."""
        return self.folder / lab.name

    def file(self, lab: Lab, blank: Blank) -> Path:
        """The learner's file for one of the lab's modules."""
        return self.layer(lab) / blank.file

    def files(self, lab: Lab) -> list[Path]:
        """All of them.

        Raises:
            NotFound: the lab was not started.
        """
        found = [self.file(lab, blank) for blank in lab.blanks]
        if not all(path.is_file() for path in found):
            raise NotFound(f"lab {lab.name} is not started here: mini-docker lab start {lab.name[:2]}")
        return found

    def start(self, lab: Lab) -> list[Path]:
        """Lay out the starters that are not there yet; returns the new files."""
        new = [blank for blank in lab.blanks if not self.file(lab, blank).exists()]
        for blank in new:
            self._write(self.file(lab, blank), self.starter(blank))
        return [self.file(lab, blank) for blank in new]

    def reset(self, lab: Lab) -> Path:
        """Put the learner's files aside and lay out fresh starters; returns the folder with what was put aside."""
        backup = self.folder / _BACKUPS / f"{lab.name}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
        for path in self.files(lab):
            aside = backup / path.relative_to(self.layer(lab))
            aside.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, aside)
        self.start(lab)
        self.give_to_owner()
        return backup

    def starter(self, blank: Blank) -> str:
        """The reference with the lab's functions blanked."""
        return make_starter(self.reference(blank), blank.functions)

    def reference(self, blank: Blank) -> str:
        """The module as we wrote it."""
        return (self.checkout / blank.file).read_text(encoding="utf-8")

    def give_to_owner(self) -> None:
        """Through sudo, the desk still belongs to the person: nothing on it may be root's."""
        if os.geteuid() != 0 or "SUDO_UID" not in os.environ:
            return
        uid, gid = int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
        for folder, folders, files in os.walk(self.folder):
            for name in (".", *folders, *files):
                os.chown(os.path.join(folder, name), uid, gid, follow_symlinks=False)

    def leftovers(self) -> Iterator[Path]:
        """What graders leave when they are killed: byte code on the desk, scratch folders of ours."""
        yield from self.folder.rglob("__pycache__")
        yield from left_behind()

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        attributes = self.folder / ".gitattributes"
        if not attributes.exists():
            attributes.write_text(f"{_DIARY} merge=union\n", encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        self.give_to_owner()
