"""What every replay is given: a recording, and what goes wrong on its way."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vocal.types import Channel

PACKET_SAMPLES = 160
RATE_HZ = 8000


class Faults(NamedTuple):
    """What goes wrong on the way. Over TCP a lost packet is one that its sender left out, and so silence.

    loss, reorder: shares of packets, 0-1. A reordered packet comes after the one behind it; over TCP none does.
    """

    jitter_ms: float = 0.0
    loss: float = 0.0
    drift_ppm: float = 0.0
    reorder: float = 0.0


class Recording(Protocol):
    """A recording of a call, as `vocal.transports.files` opens it."""

    @property
    def channels(self) -> tuple[Channel, ...]: ...

    def read(self, samples: int) -> NDArray[np.float32]: ...
