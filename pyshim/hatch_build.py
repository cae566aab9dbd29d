"""Builds the `reflex` command with Go and puts it in the wheel as the script `reflex-db`.

It is called `reflex-db` because the Reflex framework owns the script name `reflex`.
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


class CustomBuildHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        here = Path(self.root)
        unpacked = here / "go"  # this is an sdist; else a checkout, with the sources around us
        if self.target_name == "sdist":
            if not unpacked.exists():
                build_data["force_include"].update(
                    {str(here.parent / name): f"go/{name}" for name in GO_SOURCES}
                )
            return
        self.directory_of_binary = Path(tempfile.mkdtemp(prefix="reflex-db-"))
        binary = self.directory_of_binary / "reflex-db"
        self.go_build(unpacked if unpacked.exists() else here.parent, binary)
        build_data["shared_scripts"][str(binary)] = "reflex-db"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag(binary)}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self.target_name == "wheel":
            shutil.rmtree(self.directory_of_binary)

    def go_build(self, root: Path, binary: Path) -> None:
        go = shutil.which("go")
        if go is None:
            self.app.abort(
                "reflex-orm: building from source needs Go (https://go.dev/dl/) and a C compiler, "
                "and there is no `go` on PATH. Install them, or install a wheel: "
                "pip install --only-binary reflex-orm reflex-orm"
            )
            return
        command = [go, "build", "-trimpath", "-buildvcs=false"]
        command += ["-ldflags", f"-s -w -X main.release={self.metadata.version}"]
        command += ["-o", str(binary), "./cmd/reflex"]
        pkg_config = str(root / "embedpy" / "capi" / "pkg-config")
        env = {**os.environ, "CGO_ENABLED": "1", "PKG_CONFIG": pkg_config}
        done = subprocess.run(command, cwd=root, env=env, check=False)
        if done.returncode != 0:
            self.app.abort(
                "reflex-orm: go build failed; its messages are above. It needs the version of Go "
                f"that {root / 'go.mod'} names, or a later one, and a C compiler."
            )


def platform_tag(binary: Path) -> str:
    """Return the wheel's platform: manylinux of the newest glibc symbol needed (PEP 600)."""
    needed = re.findall(rb"\bGLIBC_2\.(\d+)\b", binary.read_bytes())
    if needed:
        return f"manylinux_2_{max(map(int, needed))}_{platform.machine()}"
    return re.sub("[-.]", "_", sysconfig.get_platform())
