"""The driver's modules by themselves, without the Go side that runs them."""

import sys
import types

_reflex = types.ModuleType("_reflex")
_reflex.interrupted_by = 0  # type: ignore[attr-defined]
sys.modules.setdefault("_reflex", _reflex)
