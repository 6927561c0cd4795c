"""The bundled call: staged by ``vocal.demo.stage``, with the truth about it."""

import json
from pathlib import Path

_HERE = Path(__file__).parent


def call_path() -> Path:
    """The recording: 8 kHz, channel 0 the agent, channel 1 the customer."""
    return _HERE / "call.flac"


def truth() -> dict[str, object]:
    """What was staged: who says what and when, with which intent, and where both speak or nobody does."""
    loaded: dict[str, object] = json.loads((_HERE / "call.json").read_text(encoding="utf-8"))
    return loaded
