"""Puts alembic.ini.tmpl, which stands at the root of the repository, into the package."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TEMPLATE = "alembic.ini.tmpl"


class CustomBuildHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        here = Path(self.root)
        unpacked = here / TEMPLATE  # this is an sdist; else a checkout
        source = unpacked if unpacked.exists() else here.parent / TEMPLATE
        place = TEMPLATE if self.target_name == "sdist" else f"reflex_driver/{TEMPLATE}"
        build_data["force_include"][str(source)] = place
