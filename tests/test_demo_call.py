"""The bundled call is what its truth says."""

import shutil
from pathlib import Path
from typing import Any, cast

import librosa
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from vocal import demo
from vocal.demo import stage

RATE_HZ = 8000
AGENT, CUSTOMER = 0, 1


@pytest.fixture(scope="module")
def call() -> npt.NDArray[np.float64]:
    samples, _ = soundfile.read(demo.call_path(), dtype="float64")
    return cast("npt.NDArray[np.float64]", samples)


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    return demo.truth()


def cut(call: npt.NDArray[np.float64], span: dict[str, Any]) -> npt.NDArray[np.float64]:
    return call[round(span["start"] * RATE_HZ) : round(span["end"] * RATE_HZ), span["channel"]]


def power_db(x: npt.NDArray[np.float64]) -> float:
    return float(10 * np.log10((x**2).mean()))


def customer(truth: dict[str, Any], emotion: str) -> list[dict[str, Any]]:
    return [s for s in truth["spans"] if s["channel"] == CUSTOMER and s["emotion"] == emotion and s["syllables"] > 3]


def f0_hz(call: npt.NDArray[np.float64], spans: list[dict[str, Any]]) -> npt.NDArray[np.float64]:
    tracks = [
        librosa.pyin(cut(call, s), fmin=65, fmax=400, sr=RATE_HZ, frame_length=512, hop_length=160)[0] for s in spans
    ]
    track: npt.NDArray[np.float64] = np.concatenate(tracks)
    voiced: npt.NDArray[np.float64] = track[~np.isnan(track)]
    return voiced


def test_format(truth: dict[str, Any]) -> None:
    info = soundfile.info(demo.call_path())
    assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", RATE_HZ, 2)
    assert 60 <= info.duration <= 90
    assert info.duration == pytest.approx(truth["seconds"], abs=0.001)
    assert demo.call_path().stat().st_size < 1_000_000


def test_is_alaw_without_digital_silence(call: npt.NDArray[np.float64]) -> None:
    np.testing.assert_array_equal(stage.alaw(call), call)
    assert len(np.unique(call)) <= 256
    assert np.all(call != 0)


def test_stays_in_the_telephone_band(call: npt.NDArray[np.float64]) -> None:
    power = (np.abs(np.fft.rfft(call, axis=0)) ** 2).sum(axis=1)
    f_hz = np.fft.rfftfreq(len(call), 1 / RATE_HZ)
    outside = (f_hz < 230) | (f_hz > 3550)
    assert 10 * np.log10(power[~outside].sum() / power[outside].sum()) > 25


@pytest.mark.parametrize("channel", [AGENT, CUSTOMER])
def test_energy_is_where_the_spans_are(call: npt.NDArray[np.float64], truth: dict[str, Any], channel: int) -> None:
    inside = np.zeros(len(call), dtype=bool)
    for span in truth["spans"]:
        if span["channel"] == channel:
            inside[round(span["start"] * RATE_HZ) : round(span["end"] * RATE_HZ)] = True
    x = call[:, channel]
    assert power_db(x[inside]) - power_db(x[~inside]) > 20
    assert power_db(x[~inside]) == pytest.approx(-65, abs=1.5)


def test_every_span_begins_and_ends_in_speech(call: npt.NDArray[np.float64], truth: dict[str, Any]) -> None:
    for span in truth["spans"]:
        x = cut(call, span)
        assert power_db(x[:800]) > -55, span
        assert power_db(x[-800:]) > -55, span


def test_talkover_takes_the_floor(call: npt.NDArray[np.float64], truth: dict[str, Any]) -> None:
    (over,) = truth["talkover"]
    assert over["by"] == CUSTOMER
    assert 1.2 <= over["end"] - over["start"] <= 1.8
    both = call[round(over["start"] * RATE_HZ) : round(over["end"] * RATE_HZ)]
    assert min(power_db(both[:, 0]), power_db(both[:, 1])) > -40
    assert any(s["channel"] == AGENT and s["end"] == over["end"] for s in truth["spans"])
    assert any(s["channel"] == CUSTOMER and s["start"] == over["start"] and s["end"] > over["end"] + 1
               for s in truth["spans"])  # fmt: skip


def test_dead_air_is_quiet(call: npt.NDArray[np.float64], truth: dict[str, Any]) -> None:
    (quiet,) = truth["dead_air"]
    assert 6 <= quiet["end"] - quiet["start"] <= 7
    both = call[round(quiet["start"] * RATE_HZ) : round(quiet["end"] * RATE_HZ)]
    assert power_db(both) < -60


def test_backchannel_is_short_and_leaves_the_floor(truth: dict[str, Any]) -> None:
    (back,) = truth["backchannels"]
    assert back["end"] - back["start"] < 0.7
    assert any(s["channel"] != back["by"] and s["start"] < back["start"] and back["end"] < s["end"]
               for s in truth["spans"])  # fmt: skip


def test_agent_hurries_once_then_slows_down(truth: dict[str, Any]) -> None:
    agent = [s for s in truth["spans"] if s["channel"] == AGENT]
    rates = [s["syllables"] / s["speech_s"] for s in agent]
    fast = [i for i, rate in enumerate(rates) if rate > 6]
    assert len(fast) == 1
    assert agent[fast[0]]["speech_s"] > 10
    assert rates[fast[0] + 1] < 5


def test_customer_sounds_as_staged(call: npt.NDArray[np.float64], truth: dict[str, Any]) -> None:
    neutral, happy = customer(truth, "neutral"), customer(truth, "happiness")
    angry = [s for s in customer(truth, "anger") if s["mood"] == -1]

    def level_dbov(spans: list[dict[str, Any]]) -> float:
        return power_db(np.concatenate([cut(call, s) for s in spans]))

    def higher_st(spans: list[dict[str, Any]]) -> float:
        return float(12 * np.log2(np.median(f0_hz(call, spans)) / np.median(f0_hz(call, neutral))))

    def range_st(spans: list[dict[str, Any]]) -> float:
        low, high = np.percentile(f0_hz(call, spans), [5, 95])
        return float(12 * np.log2(high / low))

    def rate(spans: list[dict[str, Any]]) -> float:
        return float(sum(s["syllables"] for s in spans) / sum(s["speech_s"] for s in spans))

    assert level_dbov(angry) - level_dbov(neutral) == pytest.approx(6, abs=1.5)
    assert level_dbov(happy) - level_dbov(neutral) == pytest.approx(3, abs=1.5)
    assert 3 < higher_st(angry) < 6
    assert 2 < higher_st(happy) < 5
    assert range_st(angry) > range_st(neutral) + 2
    assert range_st(happy) > range_st(neutral) + 2
    assert rate(angry) > rate(neutral) + 1


def test_mood_rises(truth: dict[str, Any]) -> None:
    assert truth["mood_start"] < -0.8
    assert truth["mood_end"] > 0.7


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Ja.", 1),
        ("Zwei neue Kaffeemaschinen", 8),
        ("Quittung", 2),
        ("Wie heißen Sie bitte?", 6),
        ("Die Buchhaltung ist automatisch verständigt.", 12),
        ("Auf Wiederhören, und einen schönen Tag noch!", 12),
    ],
)
def test_syllables(text: str, count: int) -> None:
    assert stage.syllables(text) == count


def test_missing_program_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert stage.main([str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert "espeak-ng" in message
    assert message.count("\n") == 1
    assert stage.main([]) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_staging_again_gives_the_same_story(truth: dict[str, Any]) -> None:
    call, again = stage.stage()
    assert call.shape[1] == 2
    said = [(s["channel"], s["text"], s["syllables"]) for s in cast("list[dict[str, Any]]", again["spans"])]
    assert said == [(s["channel"], s["text"], s["syllables"]) for s in truth["spans"]]
