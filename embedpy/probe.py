"""Prints what package embedpy wants to know of an interpreter; see probe.go."""

import os
import sys
import sysconfig

v = sysconfig.get_config_var
answer = [
    sys.executable,
    ".".join(map(str, sys.version_info[:3])),
    sys.version,
    sys.implementation.name,
    64 if sys.maxsize > 2**32 else 32,
    sys.base_prefix,
    getattr(sys, "abiflags", ""),
    v("LIBDIR"),
    v("LIBPL"),
    v("INSTSONAME"),
    v("LDLIBRARY"),
    v("MULTIARCH"),
    v("PYTHONFRAMEWORKPREFIX"),
]
fields = b"\0".join(os.fsencode(str(a or "")) for a in answer)
sys.stdout.buffer.write(b"<embedpy\0" + fields + b"\0embedpy>")
