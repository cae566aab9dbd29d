"""`--log-format json`: a JSON object for each line of what we say on stderr."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

as_json = False  # of this process, from its command line on

LOGGER = "reflex_driver"


def entry(level: str, message: str, *, logger: str = LOGGER, **fields: Any) -> str:
    """A line of the log; one that is a line already gets the fields. Empty ones are left out."""
    more = {name: value for name, value in fields.items() if value not in ("", None)}
    with suppress(ValueError):
        found = json.loads(message)
        if isinstance(found, dict) and "logger" in found:
            return json.dumps({**found, **more})
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return json.dumps({"time": now, "level": level, "logger": logger, "message": message, **more})
