"""Models that people bring: each kind of input and output, alone or among others, live or offline."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import soundfile
import soxr
import vocal_kernels as vk
from graphs import (
    CATEGORIES,
    DIMENSIONS,
    FUNCTIONALS,
    LOG_MEL,
    SIGNAL,
    Graph,
    of_functionals,
    of_mel,
    of_signal,
    write,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from signals import call, voice

from vocal.bank import KEPT_SAMPLES, Bank, Kind
from vocal.emotion import PLANE, EmotionModel
from vocal.engine import Engine
from vocal.errors import ModelError
from vocal.types import Call, Channel, Emotion, Event, Metadata, Mood, NoEstimate, Relative, Utterance
from vocal.utterance import EmotionInput

SURE = "confidence = 0.6"
AGENT, CUSTOMER = Channel(0, "agent"), Channel(1, "customer")
BROUGHT = ("functionals", "mel", "mel_fixed", "signal_8k", "signal_16k", "signal_fixed")


def bring(name: str, folder: Path) -> EmotionModel:
    """One of BROUGHT."""
    match name:
        case "functionals":
            write(folder, of_functionals(), FUNCTIONALS + CATEGORIES)
        case "mel":
            write(folder, of_mel(), LOG_MEL + 'level = "removed"\n' + CATEGORIES)
        case "mel_fixed":
            write(folder, of_mel(200), LOG_MEL + "steps = 200\n" + CATEGORIES)
        case "signal_8k":
            write(folder, of_signal(), SIGNAL.replace("16000", "8000") + DIMENSIONS, extra=SURE)
        case "signal_16k":
            write(folder, of_signal(), SIGNAL + DIMENSIONS, extra=SURE)
        case "signal_fixed":
            write(folder, of_signal(32000), SIGNAL + "samples = 32000\n" + DIMENSIONS, extra=SURE)
    return EmotionModel(folder)


@pytest.fixture(scope="module", params=BROUGHT)
def brought(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> EmotionModel:
    return bring(request.param, tmp_path_factory.mktemp(request.param))


def an_input(seed: int, seconds: float = 2.0) -> EmotionInput:
    rng = np.random.default_rng(seed)
    steps = round(100 * seconds)
    return EmotionInput(
        rng.normal(size=vk.FUNCTIONALS),
        rng.normal(size=vk.FUNCTIONALS),
        float(rng.uniform()),
        seconds,
        rng.normal(-50, 15, (steps, vk.MEL_BANDS)).astype(np.float32),
        -40.0,
        (rng.normal(size=80 * steps) * 0.1).astype(np.float32),
    )


def estimate(model: EmotionModel, row: EmotionInput) -> Emotion | NoEstimate:
    return model.estimate([row], [Relative()])[0]


def sure(model: EmotionModel, row: EmotionInput) -> Emotion:
    emotion = estimate(model, row)
    assert isinstance(emotion, Emotion)
    return emotion


def events_of(
    pcm: NDArray[np.float32], model: EmotionModel, piece: int, most_ticks: int, others: int = 0
) -> list[Event]:
    """Of the call "c", pushed in pieces of so many samples, among other calls."""
    events: list[Event] = []
    engine = Engine(lambda event: events.append(event) if event.call == "c" else None, emotion=model)
    for name in [*(f"n{n}" for n in range(others)), "c"]:
        engine.open(Call(name, "", "file", "2026-01-01T00:00:00+00:00", (AGENT, CUSTOMER), Metadata(notice=True)))
    for number in range(others):
        engine.push(f"n{number}", np.roll(pcm, 3000 * (number + 1), axis=0) * np.float32(0.9**number))
        engine.end(f"n{number}", "hangup")
    for first in range(0, len(pcm), piece):
        engine.push("c", pcm[first : first + piece])
        while engine.advance(most_ticks):
            pass
    engine.end("c", "hangup")
    while engine.advance(most_ticks):
        pass
    return events


PCM = call(14.0, [(0.5, 3.2)], [(4.0, 7.3), (8.0, 13.8)])


# In a call


def test_every_kind_of_model_estimates_in_a_call(brought: EmotionModel) -> None:
    events = events_of(PCM, brought, 8000, 50)
    told = [event.emotion for event in events if isinstance(event, Utterance) and event.role == "customer"]
    assert told
    for emotion in told:
        assert isinstance(emotion, Emotion)
        assert emotion.model == "small 1"
        assert 0 <= emotion.valence <= 1
        assert 0 <= emotion.arousal <= 1
        has_categories = brought.contract.categories is not None
        assert set(emotion.categories) == ({"anger", "neutral", "happiness"} if has_categories else set())
        most = max(emotion.categories.values()) if has_categories else 0.6
        assert emotion.confidence == pytest.approx(most, abs=6e-4)
    assert any(isinstance(event, Mood) for event in events)
    assert len({emotion.arousal for emotion in told if emotion}) > 1


def test_live_equals_offline(brought: EmotionModel) -> None:
    assert events_of(PCM, brought, 160, 1) == events_of(PCM, brought, len(PCM), vk.MAX_TICKS)


@settings(max_examples=8, deadline=None)
@given(piece=st.integers(37, 30_000), most_ticks=st.integers(1, vk.MAX_TICKS))
def test_any_cut_gives_the_same_events(tmp_path_factory: pytest.TempPathFactory, piece: int, most_ticks: int) -> None:
    model = bring("signal_16k", tmp_path_factory.mktemp("cut"))
    pcm = PCM.copy()
    pcm[70_000:72_000] = np.nan
    assert events_of(pcm, model, piece, most_ticks) == events_of(pcm, model, len(pcm), vk.MAX_TICKS)


def test_alone_or_among_twenty_calls(brought: EmotionModel) -> None:
    assert events_of(PCM, brought, 8000, 50) == events_of(PCM, brought, 8000, 50, others=19)


def test_a_row_does_not_depend_on_the_batch(brought: EmotionModel) -> None:
    # Of lengths that differ, among them the model's own.
    rows = [an_input(seed, 1.0 + 0.1 * seed) for seed in range(21)]
    together = brought.infer(rows)
    for i in (0, 10, 20):
        for name, values in brought.infer([rows[i]]).items():
            assert np.array_equal(values[0], together[name][i])


# What it is shown


def shown(model: EmotionModel, row: EmotionInput) -> NDArray[np.float32]:
    (array,) = model._show(row).values()
    assert array.dtype == np.float32
    return array


def test_waveforms_as_wav2vec2_wants_them(tmp_path: Path) -> None:
    row = an_input(1, 3.0)
    assert row.pcm is not None
    louder = row._replace(pcm=np.float32(5.0) * row.pcm)
    model = bring("signal_16k", tmp_path)
    signal = shown(model, row)
    assert signal.shape == (48_000,)
    assert signal.mean() == pytest.approx(0.0, abs=1e-4)
    assert signal.std() == pytest.approx(1.0, abs=1e-3)
    whole = soxr.resample(row.pcm, 8000, 16000, quality="HQ").astype(np.float64)
    assert np.allclose(signal, (whole - whole.mean()) / np.sqrt(whole.var() + 1e-7), atol=1e-5)
    assert np.allclose(shown(model, louder), signal, atol=1e-3)
    narrow = bring("signal_8k", tmp_path)
    assert np.allclose(shown(narrow, row), shown(narrow, row._replace(pcm=row.pcm + np.float32(0.2))), atol=1e-3)
    assert not shown(narrow, row._replace(pcm=np.zeros(8000, np.float32))).any()


def test_waveforms_as_they_are(tmp_path: Path) -> None:
    contract = '[inputs.signal]\nkind = "waveform"\nrate_hz = 8000\n' + DIMENSIONS
    row = an_input(1, 3.0)
    assert row.pcm is not None
    model = EmotionModel(write(tmp_path, of_signal(), contract, extra=SURE))
    assert np.array_equal(shown(model, row), row.pcm)
    model = EmotionModel(write(tmp_path, of_signal(), contract, extra=f"{SURE}\nlongest_s = 1.5"))
    assert np.array_equal(shown(model, row), row.pcm[-12_000:])


def test_a_tone_keeps_its_pitch_at_16_khz(tmp_path: Path) -> None:
    contract = '[inputs.signal]\nkind = "waveform"\nrate_hz = 16000\n' + DIMENSIONS
    model = EmotionModel(write(tmp_path, of_signal(), contract, extra=SURE))
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(16_000) / 8000)
    signal = shown(model, an_input(1)._replace(pcm=tone.astype(np.float32)))
    wanted = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(32_000) / 16_000)
    assert np.allclose(signal[500:-500], wanted[500:-500], atol=1e-3)


def test_fixed_lengths_are_filled_in_front_and_keep_the_end(tmp_path: Path) -> None:
    signal = bring("signal_fixed", tmp_path / "signal")
    short = shown(signal, an_input(1, 1.0))
    assert short.shape == (32_000,)
    assert not short[:16_000].any()
    assert short[16_000:].std() == pytest.approx(1.0, abs=1e-3)
    long = an_input(2, 5.0)
    assert long.pcm is not None
    assert np.array_equal(shown(signal, long), shown(signal, long._replace(pcm=long.pcm[-16_000:])))
    mel = bring("mel_fixed", tmp_path / "mel")
    row = an_input(3, 1.0)
    assert row.mel is not None
    levels = shown(mel, row)
    assert levels.shape == (200, vk.MEL_BANDS)
    assert (levels[:100] == -100.0).all()
    assert np.array_equal(levels[100:], row.mel)
    row = an_input(3, 4.0)
    assert row.mel is not None
    assert np.array_equal(shown(mel, row), row.mel[-200:])


def test_levels_without_gain(tmp_path: Path) -> None:
    model = bring("mel", tmp_path)
    row = an_input(3, 4.0)
    assert row.mel is not None
    louder = row._replace(mel=row.mel + np.float32(10.0), mel_mean_db=row.mel_mean_db + 10.0)
    assert shown(model, row).shape == (400, vk.MEL_BANDS)
    assert np.allclose(shown(model, row), row.mel + 40.0, atol=1e-4)
    assert np.allclose(shown(model, row), shown(model, louder), atol=1e-4)


def test_the_longest_stretch_fits(brought: EmotionModel) -> None:
    assert isinstance(estimate(brought, an_input(1, vk.LONGEST_S)), Emotion)


# What comes of its outputs


def of_logits(folder: Path, contract: str, extra: str = "", top: str = "") -> EmotionModel:
    """A graph that gives the first functionals as they are: p three, voice one, place two."""
    g = Graph()
    for name, first, last in (("p", 0, 3), ("voice", 3, 4), ("place", 4, 6)):
        g("Slice", "functionals", *(g.weight(np.array([at])) for at in (first, last, 1)), to=name)
    model = g.model({"functionals": ["n", vk.FUNCTIONALS]}, {"p": ["n", 3], "voice": ["n", 1], "place": ["n", 2]})
    return EmotionModel(write(folder, model, FUNCTIONALS + contract + extra, extra=top))


def giving(*values: float) -> EmotionInput:
    row = an_input(1)
    row.functionals[: len(values)] = values
    return row


def test_categories_stand_on_the_plane(tmp_path: Path) -> None:
    model = of_logits(tmp_path, CATEGORIES)
    emotion = sure(model, giving(0.5, 0.3, 0.2))
    assert emotion.categories == {"anger": 0.5, "neutral": 0.3, "happiness": 0.2}
    assert emotion.confidence == 0.5
    for axis, got in enumerate((emotion.valence, emotion.arousal)):
        wanted = 0.5 * PLANE["anger"][axis] + 0.3 * PLANE["neutral"][axis] + 0.2 * PLANE["happiness"][axis]
        assert got == pytest.approx(wanted, abs=1e-3)
    assert emotion.sentiment == pytest.approx(2 * emotion.valence - 1, abs=0.002)
    moved = of_logits(tmp_path, CATEGORIES, "[plane]\nanger = [0.0, 1.0]")
    assert sure(moved, giving(1.0, 0.0, 0.0)).arousal == 1.0


def test_labels_of_ones_own(tmp_path: Path) -> None:
    contract = CATEGORIES.replace("happiness", "contempt") + "[plane]\ncontempt = [0.2, 0.4]"
    emotion = sure(of_logits(tmp_path, contract), giving(0.0, 0.0, 1.0))
    assert (emotion.valence, emotion.arousal) == (0.2, 0.4)


def test_logits_become_probabilities(tmp_path: Path) -> None:
    logits = np.array([2.0, 500.0 / 256, -1.0])
    cool = of_logits(tmp_path, CATEGORIES + 'activation = "softmax"\n')
    assert sum(sure(cool, giving(*logits)).categories.values()) == pytest.approx(1.0, abs=0.002)
    warm = of_logits(tmp_path, CATEGORIES + 'activation = "softmax"\ntemperature = 2.0\n')
    wanted = np.exp(logits / 2.0) / np.exp(logits / 2.0).sum()
    assert list(sure(warm, giving(*logits)).categories.values()) == pytest.approx(wanted, abs=1e-3)
    assert sure(cool, giving(9000.0, 0.0, 0.0)).confidence == 1.0


def test_scales_are_brought_to_0_to_1(tmp_path: Path) -> None:
    scale = '[outputs.place]\nkind = "dimensions"\nnames = ["arousal", "valence"]\nlow = 1\nhigh = 7\n'
    model = of_logits(tmp_path, scale, top="confidence = 0.4")
    emotion = sure(model, giving(0, 0, 0, 0, 4.0, 5.5))
    assert (emotion.arousal, emotion.valence, emotion.confidence, emotion.categories) == (0.5, 0.75, 0.4, {})
    beyond = sure(model, giving(0, 0, 0, 0, 9.0, -3.0))
    assert (beyond.arousal, beyond.valence) == (1.0, 0.0)


def test_dimensions_win_over_the_plane(tmp_path: Path) -> None:
    both = CATEGORIES + '[outputs.place]\nkind = "dimensions"\nnames = ["valence", "arousal"]\n'
    emotion = sure(of_logits(tmp_path, both), giving(1.0, 0.0, 0.0, 0.0, 0.8, 0.3))
    assert (emotion.valence, emotion.arousal, emotion.confidence) == (0.8, 0.3, 1.0)


def test_what_is_no_voice_is_not_judged(tmp_path: Path) -> None:
    model = of_logits(tmp_path, CATEGORIES, '[outputs.voice]\nkind = "voice"\nleast = 0.4\n')
    assert estimate(model, giving(1.0, 0.0, 0.0, 0.39)) == "not_voice"
    assert isinstance(estimate(model, giving(1.0, 0.0, 0.0, 0.41)), Emotion)


def test_what_is_too_short_is_not_judged(tmp_path: Path) -> None:
    model = of_logits(tmp_path, CATEGORIES, top="least_s = 2.0")
    rows = [giving(1.0, 0.0, 0.0)._replace(seconds=seconds) for seconds in (1.99, 2.0, 0.7, 3.0)]
    found = model.estimate(rows, [Relative()] * 4)
    assert [emotion == "too_short" for emotion in found] == [True, False, True, False]
    assert model.estimate([], []) == []


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ((np.nan, 0.5, 0.5), "output 'p': wanted numbers, got [nan, 0.5, 0.5]"),
        ((np.inf, 0.0, 0.0), "output 'p': wanted numbers"),
        ((0.5, 0.5, 0.5), "output 'p': wanted probabilities that sum to 1, got a sum of 1.500"),
        ((1.5, -0.5, 0.0), "output 'p': wanted values from 0 to 1, got [1.5, -0.5, 0.0]"),
    ],
)
def test_no_estimate_rather_than_a_wrong_one(tmp_path: Path, values: tuple[float, ...], wanted: str) -> None:
    model = of_logits(tmp_path, CATEGORIES)
    row, good = giving(*values), giving(0.2, 0.3, 0.5)
    found = model.estimate([good, row, good], [Relative()] * 3)
    assert found[1] == "model"
    assert found[0] == found[2] == estimate(model, good)
    assert isinstance(found[0], Emotion)
    arrays = {f"0/{name}": value for name, value in model._show(row).items()}
    np.savez(tmp_path / "vectors.npz", **arrays, **{"0/p": np.array(values)})
    assert any(wanted in fault for fault in model.check())


def test_nothing_is_told_of_a_call_whose_model_gives_nonsense(tmp_path: Path) -> None:
    g = Graph()
    g("Log", g("Neg", g("Abs", g("Gemm", "functionals", g.random(vk.FUNCTIONALS, 3)))), to="p")
    model = EmotionModel(
        write(tmp_path, g.model({"functionals": ["n", vk.FUNCTIONALS]}, {"p": ["n", 3]}), FUNCTIONALS + CATEGORIES)
    )
    assert any("wanted numbers, got [nan" in fault for fault in model.check())
    events = events_of(PCM, model, 8000, 50)
    assert all(event.emotion is None for event in events if isinstance(event, Utterance))
    assert not [event for event in events if isinstance(event, Mood)]
    assert b"nan" not in msgspec.json.encode(events).lower()


def test_a_row_that_fails_takes_no_neighbour_with_it(tmp_path: Path) -> None:
    g = Graph()
    # The first functional says which column to look up: beyond the last, the graph fails.
    first = g("Slice", "functionals", *(g.weight(np.array([at])) for at in (0, 1, 1)))
    table = g.weight(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    index = "index"
    g.nodes.append(onnx.helper.make_node("Cast", [first], [index], to=7))
    g("Squeeze", g("Gather", table, index), g.weight(np.array([1])), to="p")
    model = EmotionModel(
        write(tmp_path, g.model({"functionals": ["n", vk.FUNCTIONALS]}, {"p": ["n", 3]}), FUNCTIONALS + CATEGORIES)
    )
    found = model.estimate([giving(0.0), giving(50.0), giving(1.0)], [Relative()] * 3)
    assert isinstance(found[0], Emotion)
    assert found[1] == "model"
    assert isinstance(found[2], Emotion)
    assert found[2].categories["neutral"] == 1.0


# Test vectors


def vectors_of(model: EmotionModel, rows: int = 2) -> dict[str, NDArray[np.float32]]:
    arrays = {}
    for number in range(rows):
        row = an_input(number + 5)
        arrays |= {f"{number}/{name}": value for name, value in model._show(row).items()}
        arrays |= {f"{number}/{name}": values[0] for name, values in model.infer([row]).items()}
    return arrays


def test_vectors_are_run(brought: EmotionModel) -> None:
    file = brought.folder / "vectors.npz"
    file.unlink(missing_ok=True)
    assert brought.vectors == 0
    assert brought.check() == []
    arrays = vectors_of(brought)
    np.savez(file, **arrays)
    assert brought.vectors == 2
    assert brought.check() == []
    (output,) = brought.contract.outputs
    np.savez(file, **(arrays | {f"1/{output}": arrays[f"1/{output}"] + 0.002}))
    (fault,) = brought.check()
    assert fault == f"test vector 1: {output} differs by 0.0020, wanted at most 0.001"


def test_vectors_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    model = bring("signal_16k", tmp_path)
    file, arrays = tmp_path / "vectors.npz", vectors_of(model)

    def fault(changed: dict[str, NDArray[np.float32]]) -> str:
        np.savez(file, **changed)
        (one,) = model.check()
        with pytest.raises(ModelError, match=r"vectors\.npz"):
            model.vectors  # noqa: B018
        return one

    assert "test vector 1 lacks '1/signal'" in fault({k: v for k, v in arrays.items() if k != "1/signal"})
    assert "test vector 0 lacks '0/logits'" in fault({k: v for k, v in arrays.items() if k != "0/logits"})
    assert "unknown array '0/sgnal'; did you mean '0/signal'?" in fault(arrays | {"0/sgnal": arrays["0/signal"]})
    assert "'0/logits': wanted shape (3), got (1, 3)" in fault(arrays | {"0/logits": arrays["0/logits"][None]})
    np.savez(file, **arrays)
    file.write_bytes(file.read_bytes()[:-500])
    assert "vectors.npz: wanted arrays of test vectors, got a damaged file" in model.check()[0]
    file.write_bytes(b"")
    assert "got a damaged file" in model.check()[0]


def test_a_graph_that_mixes_its_rows_is_found(tmp_path: Path) -> None:
    g = Graph()
    logits = g("Gemm", "functionals", g.random(vk.FUNCTIONALS, 3))
    g("Softmax", g("Sub", logits, g("ReduceMean", logits, axes=[0], keepdims=1)), to="p", axis=1)
    model = EmotionModel(
        write(tmp_path, g.model({"functionals": ["n", vk.FUNCTIONALS]}, {"p": ["n", 3]}), FUNCTIONALS + CATEGORIES)
    )
    assert any("a row's result depends on the other rows" in fault for fault in model.check())


# Audio in memory


def test_only_a_customer_with_notice_and_a_model_of_waveforms_keeps_audio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    monkeypatch.setattr(Bank, "keep_audio", lambda bank, slot: kept.append(slot.lane))
    waveform, other = bring("signal_16k", tmp_path / "w"), bring("mel", tmp_path / "m")
    channels = (AGENT, CUSTOMER, Channel(2, "unknown"))
    for model, notice, wanted in (
        (waveform, True, [1]),
        (waveform, False, []),
        (other, True, []),
        (None, True, []),
    ):
        kept.clear()
        engine = Engine(lambda event: None, emotion=model)
        engine.open(Call("c", "", "file", "2026-01-01T00:00:00+00:00", channels, Metadata(notice=notice)))
        assert kept == wanted


def test_audio_is_wiped_when_notice_is_withdrawn_and_when_the_call_ends(tmp_path: Path) -> None:
    for withdrawn in (True, False):
        events: list[Event] = []
        engine = Engine(events.append, emotion=bring("signal_16k", tmp_path))
        engine.open(Call("c", "", "file", "2026-01-01T00:00:00+00:00", (AGENT, CUSTOMER), Metadata(notice=True)))
        engine.push("c", PCM)
        while engine.advance():
            pass
        ((slot, ring),) = engine._bank._audio.items()
        assert engine._by_slot[slot][1].channel == CUSTOMER
        assert ring.any()
        assert any(isinstance(event, Mood) for event in events)
        if withdrawn:
            engine.withdraw_notice("c")
            assert not ring.any()
            assert not engine._bank._audio
            events.clear()
            engine.push("c", PCM)
        engine.end("c", "hangup")
        while engine.advance():
            pass
        assert not ring.any()
        assert not engine._bank._audio
        if withdrawn:
            assert any(isinstance(event, Utterance) for event in events)
            assert not any(isinstance(event, Mood) for event in events)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 40), st.lists(st.integers(1, vk.MAX_TICKS), min_size=1, max_size=60), st.booleans())
def test_what_is_kept_is_what_arrived(before: int, cuts: list[int], lost: bool) -> None:
    bank = Bank()
    bank.admit()
    if before:
        list(bank.advance(before, {}))
    slot = bank.admit()
    bank.keep_audio(slot)
    assert bank.keeps_audio(slot)
    pcm = voice(sum(cuts) * vk.TICK_S, level_dbov=-20.0)[: sum(cuts) * vk.TICK_SAMPLES]
    if lost:
        pcm[100:500] = np.nan
    done = 0
    for ticks in cuts:
        for span in bank.advance(ticks, {slot: pcm[done : done + ticks * vk.TICK_SAMPLES]}):
            if span.kind is not Kind.BEGUN:
                part = slice(span.start_step * vk.HOP_SAMPLES, span.end_step * vk.HOP_SAMPLES)
                heard = bank.audio(slot, span.start_step, span.end_step)
                assert np.allclose(heard, np.nan_to_num(pcm[part]).clip(-1, 1), atol=2 / 32768)
        done += ticks * vk.TICK_SAMPLES
    last = bank.position(slot)
    first = max(0, last - KEPT_SAMPLES // vk.HOP_SAMPLES)
    part = slice(first * vk.HOP_SAMPLES, last * vk.HOP_SAMPLES)
    assert np.allclose(bank.audio(slot, first, last), np.nan_to_num(pcm[part]).clip(-1, 1), atol=2 / 32768)
    bank.release(slot)
    assert not bank.keeps_audio(slot)


def test_mel_rows_are_those_of_the_features() -> None:
    pcm = voice(4.0)
    bank = Bank()
    for _ in range(3):
        slot = bank.admit()
    list(bank.advance(7, {}))
    slot = bank.admit()
    for first in range(0, len(pcm), vk.RATE_HZ):
        list(bank.advance(50, {slot: pcm[first : first + vk.RATE_HZ]}))
    table = vk.extract([pcm])[0]
    mel, mean_db = bank.mel(slot, 100, 300)
    assert np.allclose(mel, table[100:300, vk.MEL :], atol=1e-3)
    said = table[100:300][table[100:300, vk.SPEECH] >= 0.6, vk.POWER_DB]
    assert mean_db == pytest.approx(10 * np.log10((10 ** (said.astype(float) / 10)).mean()), abs=1e-3)
    assert bank.mel(slot, 0, 0)[0].shape == (0, vk.MEL_BANDS)


# The commands


def vocal(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vocal.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=Path(__file__).parent,
    )


def test_models_check_says_what_a_model_is(tmp_path: Path) -> None:
    model = bring("signal_16k", tmp_path)
    result = vocal("models", "check", tmp_path)
    assert result.returncode == 0, result.stderr
    for words in (
        "keeps its contract",
        "small 1, 2026-01-01, CC0-1.0, opset 17",
        "signal as waveform (n, samples)",
        "logits as dimensions arousal, dominance, valence from 0 to 1",
        "ms for an utterance of 3 s",
        "vectors  none",
    ):
        assert words in result.stdout
    np.savez(tmp_path / "vectors.npz", **vectors_of(model, 3))
    assert "vectors  3 run" in vocal("models", "check", tmp_path).stdout


def test_a_model_of_ones_own_from_the_command_line(tmp_path: Path) -> None:
    bring("signal_16k", tmp_path / "model")
    soundfile.write(tmp_path / "call.wav", PCM, vk.RATE_HZ)
    result = vocal("analyze", tmp_path / "call.wav", "--notice", "--json", "--model", tmp_path / "model")
    assert result.returncode == 0, result.stderr
    assert '"model":"small 1"' in result.stdout
    assert (
        vocal(
            "analyze", tmp_path / "call.wav", "--notice", "--store", tmp_path / "s", "--model", tmp_path / "model"
        ).returncode
        == 0
    )
    result = vocal("analyze", tmp_path / "call.wav", "--notice", "--model", tmp_path / "nowhere")
    assert result.returncode == 1
    assert "nowhere: wanted a model's folder with model.toml and model.onnx" in result.stderr
