"""Prints what package embedpy wants to know of an interpreter; see probe.go."""

import os
import sys
import sysconfig


def library() -> str:
    """Return the libpython that this Python uses; "" if it is none but the program itself."""
    if sys.platform == "darwin":
        v = sysconfig.get_config_var
        if not (v("Py_ENABLE_SHARED") or v("PYTHONFRAMEWORK")):
            return ""
        return os.path.join(v("PYTHONFRAMEWORKPREFIX") or v("LIBDIR"), v("INSTSONAME"))
    try:
        with open("/proc/self/maps", "rb") as maps:
            files = {os.fsdecode(line.rstrip(b"\n").split(None, 5)[-1]) for line in maps}
    except OSError:
        return ""
    return next((file for file in files if os.path.basename(file).startswith("libpython")), "")


answer = [
    sys.executable,
    ".".join(map(str, sys.version_info[:3])),
    sys.version,
    sys.implementation.name,
    64 if sys.maxsize > 2**32 else 32,
    sys.base_prefix,
    library(),
]
fields = b"\0".join(os.fsencode(str(a)) for a in answer)
sys.stdout.buffer.write(b"<embedpy\0" + fields + b"\0embedpy>")
