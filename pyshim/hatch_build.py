"""Builds the `reflex` command with Go and puts it in the wheel as the module `_reflex_db`.

It is an extension module, so no libpython is needed; its function `main` is the
console script `reflex-db`, because the Reflex framework owns the name `reflex`.
The sdist takes the Go sources along, under go/.
"""

import os
import platform
import re
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# What ./cmd/reflex is built from, seen from the root of the repository.
GO_SOURCES = (
    "go.mod",
    "go.sum",
    "assets.go",
    "alembic.ini.tmpl",
    "cmd",
    "embedpy",
    "pyshim/reflex_driver",
    "pyshim/templates",
)

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
OLDEST_GLIBC = 17  # of manylinux2014, which pip knows for every machine


class CustomBuildHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        here = Path(self.root)
        unpacked = here / "go"  # this is an sdist; else a checkout, with the sources around us
        if self.target_name == "sdist":
            if not unpacked.exists():
                build_data["force_include"].update(sources(here.parent))
            return
        self.temporary = Path(tempfile.mkdtemp(prefix="reflex-db-"))
        # Not .abi3.so, which a free-threaded Python does not look for.
        library = self.temporary / "_reflex_db.so"
        self.go_build(unpacked if unpacked.exists() else here.parent, library)
        build_data["force_include"][str(library)] = library.name
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag(library)}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self.target_name == "wheel":
            shutil.rmtree(self.temporary)

    def go_build(self, root: Path, library: Path) -> None:
        go = shutil.which("go")
        if go is None:
            self.app.abort(
                "reflex-orm: building from source needs Go (https://go.dev/dl/) and a C compiler, "
                "and there is no `go` on PATH. Install them, or install a wheel: "
                "pip install --only-binary reflex-orm reflex-orm"
            )
            return
        command = [go, "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false"]
        command += ["-ldflags", f"-s -w -X main.release={self.metadata.version}"]
        command += ["-o", str(library), "./cmd/reflex"]
        pkg_config = str(root / "embedpy" / "capi" / "pkg-config")
        env = {**os.environ, "CGO_ENABLED": "1", "PKG_CONFIG": pkg_config}
        done = subprocess.run(command, cwd=root, env=env, check=False)
        if done.returncode != 0:
            self.app.abort(
                "reflex-orm: go build failed; its messages are above. It needs the version of Go "
                f"that {root / 'go.mod'} names, or a later one, and a C compiler."
            )


def sources(root: Path) -> dict[str, str]:
    """Return the files under GO_SOURCES with their places in the sdist."""
    found: dict[str, str] = {}
    for name in GO_SOURCES:
        path = root / name
        for file in path.rglob("*") if path.is_dir() else [path]:
            # Less what `make build` and Python leave there.
            if file.is_file() and not {".so", ".pyc"} & set(file.suffixes):
                found[str(file)] = f"go/{file.relative_to(root)}"
    return found


def platform_tag(library: Path) -> str:
    """Return the wheel's platform: manylinux of the newest glibc symbol needed (PEP 600)."""
    # GOARCH is set to build for another machine: `make wheels`.
    machine = MACHINES.get(os.environ.get("GOARCH", ""), platform.machine())
    needed = re.findall(rb"\bGLIBC_2\.(\d+)\b", library.read_bytes())
    if not needed:
        return re.sub("[-.]", "_", sysconfig.get_platform())
    minor = max(OLDEST_GLIBC, *map(int, needed))
    tag = f"manylinux_2_{minor}_{machine}"
    # The older name, for an older pip.
    return f"{tag}.manylinux2014_{machine}" if minor == OLDEST_GLIBC else tag
