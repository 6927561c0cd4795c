"""How kernels are compiled: one set of options, one cache folder that the next process finds again."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import types

# Without nnan and ninf: a NaN that arrives must still be seen as one.
FASTMATH = frozenset({"reassoc", "contract", "nsz", "arcp", "afn"})


def _cache_dir() -> str:
    """The first folder that can be written, named by the sources' state: Numba looks only at the file that holds a
    kernel, not at the ones it calls, so an edited callee, or a network of another shape, must change the folder."""
    here = Path(__file__).parent
    sources = sorted([*here.glob("*.py"), *here.glob("weights/*.npz")])
    state = "".join(f"{file.name}{file.stat().st_size}{file.stat().st_mtime_ns}" for file in sources)
    name = "kernels-" + hashlib.sha256(f"{numba.__version__}{state}".encode()).hexdigest()[:12]
    wanted = [
        os.environ.get("NUMBA_CACHE_DIR"),
        os.environ.get("XDG_CACHE_HOME"),
        os.path.expanduser("~/.cache"),
        os.path.join(tempfile.gettempdir(), f"vocal-{os.getuid()}"),
    ]
    for folder in filter(None, wanted):
        path = Path(folder) / "vocal" / name
        try:
            path.mkdir(parents=True, exist_ok=True)
            if os.access(path, os.W_OK):
                return str(path)
        except OSError:
            continue
    return tempfile.mkdtemp(prefix="vocal-kernels-")


CACHE_DIR = _cache_dir()


def jit(function: Callable[..., Any]) -> Any:
    """Compile at the first call, without the GIL, and keep the result in `CACHE_DIR` for the next process."""
    theirs, numba.config.CACHE_DIR = numba.config.CACHE_DIR, CACHE_DIR
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=set(FASTMATH))(function)
    finally:
        numba.config.CACHE_DIR = theirs


def address_of(piece: Callable[..., Any]) -> int:
    """Compile `piece(context, number, worker)` for a caller that is not Python, keep the result as `jit` does; where it
    lies. context: a pointer to int64, most of them addresses of arrays."""
    signature = types.void(types.CPointer(types.int64), types.int64, types.int64)
    theirs, numba.config.CACHE_DIR = numba.config.CACHE_DIR, CACHE_DIR
    try:
        compiled = numba.cfunc(signature, cache=True, error_model="numpy", fastmath=set(FASTMATH))(piece)
    finally:
        numba.config.CACHE_DIR = theirs
    _compiled.append(compiled)  # as long as somebody may call it
    return int(compiled.address)


_compiled: list[Any] = []


def inlined(function: Callable[..., Any]) -> Any:
    """A piece of a kernel, compiled into whoever calls it and not kept by itself."""
    return numba.njit(nogil=True, error_model="numpy", fastmath=set(FASTMATH))(function)


def is_compiled() -> bool:
    """Whether an earlier process left its compiled kernels for this one."""
    return any(Path(CACHE_DIR).rglob("*.nbc"))
