"""The overlay: the learner's files lie over our package as an overlay's upper layers lie over its lower one.

An import hook. When a module of mini_docker is imported and a layer has a file of the same path
(``<layer>/mini_docker/engine/engine.py``), they are merged (`merge.py`) and run as one module. Every process of ours
installs it at its start, so a learner's code runs in the daemon, the supervisor and in init.

It knows nothing of labs and grades.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType

from mini_docker.errors import Conflict, NotFound
from mini_docker.lab.merge import Source, merge
from mini_docker.lab.proof import VARIABLE as PROOF_VARIABLE
from mini_docker.lab.proof import Proof

PACKAGE = "mini_docker"

BLANKS_VARIABLE = "MINI_DOCKER_OVERLAY_BLANKS"
"""Set to ``raise``: what a layer leaves blank fails when called. Otherwise ours is called in its place."""

PROBE = "__overlay_ran__"


def install(folder: str) -> None:
    """Lay a learner's layers over mini_docker, for this process and for what is imported from now on.

    Args:
        folder: the layers' folders, joined as PATH's are; where two have the same function the first one's is seen.

    Raises:
        NotFound: a folder is missing or has no file of ours to cover.
        Conflict: a module that a layer covers was imported already.
    """
    layers = [Path(word).absolute() for word in folder.split(os.pathsep) if word]
    covered = sorted({module for layer in layers for module in modules(layer)})
    for module in covered:
        if module in sys.modules:
            raise Conflict(f"the overlay came too late: {module} was imported before it was laid over it")
    proof = os.environ.get(PROOF_VARIABLE)
    sign = Proof(proof) if proof else None
    sys.meta_path.insert(0, OverlayFinder(layers, os.environ.get(BLANKS_VARIABLE) != "raise", sign))


def modules(layer: Path) -> list[str]:
    """The modules that a layer covers.

    Raises:
        NotFound: there are none.
    """
    files = sorted((layer / PACKAGE).rglob("*.py"))
    if not files:
        raise NotFound(f"{layer} is no layer: it has no Python file below {layer / PACKAGE}")
    return [module_name(file.relative_to(layer)) for file in files]


def module_name(file: Path) -> str:
    """``mini_docker/engine/engine.py`` → ``mini_docker.engine.engine``."""
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class OverlayFinder(MetaPathFinder):
    """Finds a covered module where it really is, and gives it a loader that merges.

    *Fixed*: all.
    """

    def __init__(self, layers: Sequence[Path], blanks_fall_through: bool, proof: Proof | None) -> None:
        self._layers = tuple(layers)
        self._blanks_fall_through = blanks_fall_through
        self._proof = proof

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """As `importlib.abc.MetaPathFinder` has it: None leaves the module to the usual finders."""
        if not fullname.startswith(PACKAGE + "."):
            return None
        files = self._files(fullname)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path) if files else None
        if spec is None or spec.origin is None:
            return None
        spec.loader = OverlayLoader(fullname, spec.origin, files, self._blanks_fall_through, self._proof)
        return spec

    def _files(self, fullname: str) -> list[Path]:
        stem = Path(*fullname.split("."))
        candidates = [
            layer / name for layer in self._layers for name in (stem.with_suffix(".py"), stem / "__init__.py")
        ]
        return [file for file in candidates if file.is_file()]


class OverlayLoader(importlib.machinery.SourceFileLoader):
    """Loads one module from our file and the layers' files together.

    Args:
        path: of our file.
        files: the layers', the topmost first.
        blanks_fall_through: see `merge`.
        proof: where the layers' functions sign when they run; None for nowhere.
    """

    def __init__(
        self, fullname: str, path: str, files: Sequence[Path], blanks_fall_through: bool, proof: Proof | None
    ) -> None:
        super().__init__(fullname, path)
        self._files = files
        self._blanks_fall_through = blanks_fall_through
        self._proof = proof

    def get_code(self, fullname: str) -> CodeType:
        """The merged module's code; it is never cached on disk."""
        reference = Source(Path(self.path).read_text(encoding="utf-8"), self.path)
        layers = [Source(file.read_text(encoding="utf-8"), str(file)) for file in self._files]
        return merge(reference, layers, self._blanks_fall_through, PROBE if self._proof else "").code

    def exec_module(self, module: ModuleType) -> None:
        """Run it, with the probe among its globals if there is a proof to sign."""
        if self._proof is not None:
            proof, name = self._proof, module.__name__
            setattr(module, PROBE, lambda function: proof.sign(f"{name}:{function}"))
        super().exec_module(module)
