"""The kernels in one line each, for those who have arrays and no calls."""

import doctest
import json
import re
from pathlib import Path

import numpy as np
import pytest
import vocal_kernels as vk
from signals import line, voice

from vocal.demo import call_path
from vocal.transports.files import open_call


def test_the_example_of_the_package_runs() -> None:
    assert doctest.testmod(vk).failed == 0
    assert doctest.testmod(vk).attempted > 1


def test_pitch_is_nan_where_nobody_sounds() -> None:
    x = np.concatenate([line(1.0), voice(2.0, 140.0), line(1.0)])
    found = vk.f0(x)
    assert np.isnan(found.f0_hz[:90]).mean() > 0.95
    assert np.nanmedian(found.f0_hz[100:300]) == pytest.approx(140.0, rel=0.1)
    assert found.voicing.min() >= 0.0
    assert found.voicing.max() <= 1.0


def test_level_of_speech_leaves_pauses_out() -> None:
    spoken = voice(3.0, level_dbov=-26.0)
    alone = vk.active_level(spoken)
    paused = vk.active_level(np.concatenate([line(4.0, -80.0), spoken, line(4.0, -80.0)]))
    assert paused == pytest.approx(alone, abs=0.4)
    assert vk.active_level(spoken * 0.5) == pytest.approx(alone - 6.02, abs=0.05)


def test_speech_score_knows_speech_from_line() -> None:
    score = vk.speech_score(np.concatenate([line(2.0), voice(3.0), line(2.0)]))
    assert score[220:480].mean() > 0.9
    assert score[20:180].mean() < 0.1


@pytest.mark.parametrize("channel", [0, 1])
def test_tempo_counts_syllables(channel: int) -> None:
    """Two synthetic voices whose texts, and so whose syllables, are known."""
    with open_call(call_path()) as source:
        pcm = source.read(vk.RATE_HZ * 120)[:, channel]
    spans = json.loads(call_path().with_suffix(".json").read_text())["spans"]
    wanted, found = [], []
    for span in spans:
        if span["channel"] == channel and span["syllables"] > 8:
            cut = pcm[round((span["start"] - 0.2) * vk.RATE_HZ) : round((span["end"] + 0.2) * vk.RATE_HZ)]
            wanted.append(span["syllables"])
            found.append(vk.speech_tempo(np.ascontiguousarray(cut)).syllables)
    assert sum(found) == pytest.approx(sum(wanted), rel=0.12)
    assert np.corrcoef(found, wanted)[0, 1] > 0.95


def test_nothing_has_no_tempo() -> None:
    assert vk.speech_tempo(np.zeros(8000)).syllables == 0
    assert np.isnan(vk.active_level(np.zeros(8000)))


@pytest.mark.parametrize(
    "wrong", [np.zeros((10, 2)), np.zeros(10, np.int16), [[0.0]]], ids=["two channels", "integers", "nested"]
)
def test_wrong_arrays_are_named(wrong: object) -> None:
    for function in (vk.f0, vk.active_level, vk.speech_score, vk.speech_tempo):
        with pytest.raises(ValueError, match="samples: wanted"):
            function(wrong)  # type: ignore[arg-type]


def test_any_layout_is_taken() -> None:
    whole = voice(2.0)
    for x in (whole[::2], whole[::-1], np.frombuffer(whole.tobytes(), np.float32)):
        np.testing.assert_array_equal(vk.speech_score(x), vk.speech_score(np.array(x)))


def test_warm_kernels_compile_nothing_more() -> None:
    vk.warmup()
    kernels = [vk.measure, vk.functionals, vk.active_level_db, vk.gated_loudness]
    compiled = [len(kernel.signatures) for kernel in kernels]
    assert min(compiled) >= 1
    with open_call(call_path()) as source:
        x = np.ascontiguousarray(source.read(5 * vk.RATE_HZ)[:, 0])
    vk.active_level(x)
    vk.loudness(x, vk.RATE_HZ)
    assert [len(kernel.signatures) for kernel in kernels] == compiled


def test_the_readme_of_the_kernels_runs() -> None:
    text = (Path(__file__).parents[1] / "kernels" / "README.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) == 2
    names = {"np": np, "x": voice(2.0), "pcm": np.zeros((10 * vk.TICK_SAMPLES, vk.LANES), np.float32)}
    for block in blocks:
        exec(block, names)
    assert names["moved"] == 10
