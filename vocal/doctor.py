"""What works on this machine, what is missing, how to get it."""

import os
import platform
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from vocal.errors import VocalError


class Finding(NamedTuple):
    what: str
    works: bool
    found: str
    remedy: str


def examine() -> list[Finding]:
    """Every part that a command stands on, tried for real."""
    return [
        Finding("Python", (3, 11) <= sys.version_info < (3, 14), platform.python_version(), "use Python 3.11 to 3.13"),
        Finding("processor", (os.cpu_count() or 0) > 0, f"{os.cpu_count()} cores, {platform.machine()}", ""),
        _tried("kernels", _kernels, "reinstall vocal: pip install --force-reinstall vocal"),
        _tried("kernel cache", _cache, "set NUMBA_CACHE_DIR to a folder that can be written and is kept"),
        _tried("native part (G.711)", _native, "reinstall vocal with a C++ compiler at hand: apt install g++"),
        _tried("emotion model", _model, "reinstall vocal, or name another with VOCAL_EMOTION_MODEL"),
        _tried(
            "WAV, FLAC, OGG",
            lambda: f"libsndfile {import_module('soundfile').__libsndfile_version__}",
            "pip install soundfile",
        ),
        _tried("other formats", lambda: f"PyAV {import_module('av').__version__}", "pip install av"),
        _tried("Opus", _opus, "pip install --force-reinstall av, or apt install libopus0"),
        _tried("SRTP", _srtp, "pip install --force-reinstall pylibsrtp"),
        _urgency(),
        _tried("store", lambda: f"pyarrow {import_module('pyarrow').__version__}", "pip install pyarrow"),
    ]


def _tried(what: str, look: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(what, True, look(), "")
    except (ImportError, OSError, RuntimeError, VocalError) as error:
        return Finding(what, False, str(error).splitlines()[0] if str(error) else type(error).__name__, remedy)


def _kernels() -> str:
    import numpy as np
    import vocal_kernels as vk

    tone = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(80000) / 8000)
    level = vk.active_level(tone)
    if not abs(level + 23.0) < 0.1:
        raise RuntimeError(f"a tone of -23.0 dBov was measured as {level:.1f} dBov")
    return f"a tone of -23.0 dBov measured as {level:.1f} dBov"


def _cache() -> str:
    import vocal_kernels as vk

    if not os.access(vk.CACHE_DIR, os.W_OK):
        raise RuntimeError(f"{vk.CACHE_DIR} cannot be written")
    return f"{vk.CACHE_DIR}, {'compiled' if vk.is_compiled() else 'empty: the first run compiles'}"


def _native() -> str:
    import numpy as np
    from vocal_kernels import _native

    block = np.zeros((1, _native.LANES), np.float32)
    _native.decode_alaw(b"\xd5", block, 0)
    return f"A-law code 0xD5 decodes to {block[0, 0] * 32768:.0f} of 32768"


def _urgency() -> Finding:
    from vocal.urgency import Urgency

    urgency = Urgency(True)
    trial = threading.Thread(target=urgency.join)
    trial.start()
    trial.join()
    found = "permitted" if urgency.is_urgent else "not permitted: on a busy machine the clock waits for other programs"
    remedy = "" if urgency.is_urgent else "optional: CAP_SYS_NICE, or LimitRTPRIO=10 of systemd"
    return Finding("real-time clock", True, found, remedy)


def _opus() -> str:
    import numpy as np

    from vocal.transports.opus import OpusDecoder, OpusEncoder

    packet = OpusEncoder().encode(np.zeros(160, np.float32))
    return f"20 ms become {len(packet)} bytes, and {len(OpusDecoder().decode(packet)) // 8} ms again"


def _srtp() -> str:
    from vocal.transports.srtp import SUITES, new_key, new_session

    new_session(new_key(), SUITES[0], True)
    return f"{SUITES[0]} can be set up"


def _model() -> str:
    from vocal.emotion import EmotionModel

    model = EmotionModel()
    faults = model.check()
    if faults:
        raise RuntimeError(faults[0])
    return f"{model.name} keeps its contract"
