"""DSP kernels for speech on telephone lines: 16 channels side by side, 10 ms at a time. Knows nothing of calls.

    >>> import numpy as np, vocal_kernels as vk
    >>> tone = 0.1 * np.sin(2 * np.pi * 200 * np.arange(8000) / 8000)
    >>> rows = vk.extract([tone])[0]          # one row each 10 ms
    >>> bool(abs(np.median(rows[10:90, vk.F0_HZ]) - 200) < 1)
    True
"""

from ._jit import CACHE_DIR, is_compiled
from .arrays import extract
from .baseline import READY_S, Baseline
from .frontend import advance
from .functionals import FUNCTIONALS, LEAST_STEPS, functionals
from .lanes import LANES
from .layout import (
    BEGUN,
    CLIPPED,
    ENDED,
    ENVELOPE,
    F0_HZ,
    FEATURES,
    FLOOR_DB,
    HOP_S,
    HOP_SAMPLES,
    HOPS,
    K_POWER,
    LAST_STEP,
    LONGEST_S,
    MAX_TICKS,
    MEL,
    MEL_BANDS,
    NUCLEUS,
    PHASE,
    POWER_DB,
    QUIET,
    RATE_HZ,
    RING_ROWS,
    SECOND,
    SONORITY,
    SPEAKING,
    SPECTRAL_DELAY,
    SPEECH,
    START_STEP,
    TICK_S,
    TICK_SAMPLES,
    VOICING,
    Boundary,
    State,
    new_state,
    reset_lane,
)
from .level import active_level_db, k_weighting
from .measures import (
    CLIPPED_SHARE,
    F0_MEDIAN_HZ,
    F0_RANGE_ST,
    F0_SLOPE_ST_S,
    LEVEL_DBOV,
    LOUDNESS_LUFS,
    MEASURES,
    SNR_DB,
    SPEECH_S,
    SYLLABLES,
    VOICED_SHARE,
    VOICING_CONTRAST,
    measure,
    tempo_window,
)
from .spectrum import mel_filters

__all__ = [name for name in dir() if not name.startswith("_")]
