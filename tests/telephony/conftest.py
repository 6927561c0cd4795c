"""Real telephony programs against a server of ours: sipp, baresip, Kamailio, sipsak."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from serving import Served, serving

from telephony.programs import EXCERPT_S, PATIENT, SIP, Sipp, until
from vocal.analysis import analyze
from vocal.config import LiveConfig
from vocal.demo import call_path
from vocal.transports.files import open_call
from vocal.types import Utterance


@pytest.fixture(scope="session")
def pcm() -> NDArray[np.float32]:
    """Both sides of the staged call: (n, 2), agent and customer."""
    with open_call(call_path()) as source:
        source.read(6 * 8000)
        return source.read(EXCERPT_S * 8000)


@pytest.fixture(scope="session")
def alaw(pcm: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Each side as A-law without a header, as sipp plays it."""
    folder = tmp_path_factory.mktemp("alaw")
    paths = []
    for side, name in enumerate(("agent", "customer")):
        wav, raw = folder / f"{name}.wav", folder / f"{name}.al"
        soundfile.write(wav, pcm[:, side], 8000, subtype="ALAW", format="WAV")
        soundfile.write(raw, pcm[:, side], 8000, subtype="ALAW", format="RAW")
        paths.append(raw)
    return paths[0], paths[1]


@pytest.fixture(scope="session")
def expected(alaw: tuple[Path, Path]) -> list[list[Utterance]]:
    """What each side's recording says, by itself."""
    return [
        [one for one in analyze(path.with_suffix(".wav"), role=role, notice=True).events if isinstance(one, Utterance)]
        for path, role in zip(alaw, ("agent", "customer"), strict=True)
    ]


@pytest.fixture(scope="session")
def together(alaw: tuple[Path, Path]) -> list[Utterance]:
    """What both sides' recordings say, as one call."""
    agent, customer = (path.with_suffix(".wav") for path in alaw)
    return [one for one in analyze(agent=agent, customer=customer, notice=True).events if isinstance(one, Utterance)]


@pytest.fixture(scope="module")
def told() -> list[Any]:
    """Every event of the module's server."""
    return []


@pytest.fixture(scope="module")
def served(told: list[Any]) -> Iterator[Served]:
    # Not what it costs is tested here: a machine with other work takes them all.
    with serving(playout=PATIENT, live=LiveConfig(most_busy=100.0), sip=SIP, store=told.append) as one:
        yield one


@pytest.fixture
def sipp(tmp_path: Path) -> Sipp:
    return Sipp(tmp_path)


@pytest.fixture(autouse=True)
def quiet(served: Served) -> None:
    """What was before has come to its end."""
    until(lambda: served.service.live.stats().calls == 0, 60.0)
