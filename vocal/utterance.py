"""Boundary and features into an Utterance: its measures, each also against the speaker's own baseline in this call."""

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import vocal_kernels as vk
from numpy.typing import NDArray

from vocal.bank import STEPS_PER_S, TEMPO_WINDOW_S, Bank, Kind, Measured, Slot, Span, Stretch
from vocal.types import Channel, NoEstimate, Relative, Role, Utterance

RECENT_S = 3.0
"""What is estimated each second while somebody speaks is of their last words; what came before is in the centre."""

# What everybody varies by from one utterance to the next: level (dB), F0 (semitones), tempo (log2).
LEAST_SPREADS = np.array([1.5, 1.0, 0.15])
# Functionals are learnt as they come: no telling what is an outlier of which.
NO_OUTLIERS = np.inf

FAINT_DB = 25.0

# Between the 5 and 95 % quantiles of level within an utterance: 22 to 42 dB on clean lines, 7 to 14 with white noise
# 5 dB under the voice, 4 to 10 where it is as loud (EMO-DB and three other corpora).
LEAST_LEVEL_RANGE_DB = 8.0

# Clarity: each term rises from 0 to 1 between two values; see design section 4.
CLARITY_SNR_DB = (3.0, 25.0)
CLARITY_LEVEL_DBOV = (-48.0, -34.0)
CLARITY_CLIPPED_SHARE = (0.3, 0.0)
CLARITY_LOST_SHARE = (0.25, 0.0)
CLARITY_TEMPO_SYLL_S = (8.5, 6.0)
CLARITY_VOICING = (0.40, 0.70)


class EmotionInput(NamedTuple):
    """What the emotion model may be shown: the stretch, the speaker's running centre, and how far that may be trusted.

    functionals, centre: (FUNCTIONALS,). trust: 0-1. seconds: length of the stretch. Only for a model that asks for
    them, mel: (steps, MEL_BANDS) in dBov; mel_mean_db: mean level of its speech; pcm: (n,) at 8 kHz, full scale 1, 0
    where nothing arrived. The samples live as long as the batch they are in.
    """

    functionals: NDArray[np.float64]
    centre: NDArray[np.float64]
    trust: float
    seconds: float
    mel: NDArray[np.float32] | None = None
    mel_mean_db: float = 0.0
    pcm: NDArray[np.float32] | None = None


class SoFar(NamedTuple):
    """An utterance that goes on: as much of it as is told of nowhere, but looked at each second."""

    role: Role
    start_s: float
    end_s: float
    detected_s: float
    level_dbov: float | None


class Heard(NamedTuple):
    """A stretch of a channel's speech. said: the utterance, or so far as it was heard; relative: to the speaker's own
    baseline, where that is asked for."""

    said: Utterance | SoFar
    emotion_input: EmotionInput | None
    relative: Relative
    tempo_syll_s: float | None  # over the last 10 s of the channel


def _or_none(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _ramp(value: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return float(min(1.0, max(0.0, (value - low) / (high - low)))) if math.isfinite(value) else 0.0


def clarity_terms(measures: Sequence[float] | NDArray[np.float64], rate: float) -> dict[str, float]:
    """How well the words can be heard, term by term, each 0-1."""
    terms = {
        "line": _ramp(measures[vk.SNR_DB], CLARITY_SNR_DB),
        "level": _ramp(measures[vk.LEVEL_DBOV], CLARITY_LEVEL_DBOV),
        "clipping": _ramp(measures[vk.CLIPPED_SHARE], CLARITY_CLIPPED_SHARE),
        "loss": _ramp(measures[vk.LOST_SHARE], CLARITY_LOST_SHARE),
        "tempo": _ramp(rate, CLARITY_TEMPO_SYLL_S) if math.isfinite(rate) else 1.0,
        "voicing": _ramp(measures[vk.VOICING_CONTRAST], CLARITY_VOICING),
    }
    return {name: round(term, 3) for name, term in terms.items()}


def _is_bad_line(measures: Sequence[float]) -> bool:
    """Whether noise, clipping or loss leave nothing to infer from."""
    of_line = (
        (measures[vk.SNR_DB], CLARITY_SNR_DB),
        (measures[vk.CLIPPED_SHARE], CLARITY_CLIPPED_SHARE),
        (measures[vk.LOST_SHARE], CLARITY_LOST_SHARE),
    )
    return any(round(_ramp(value, bounds), 3) == 0.0 for value, bounds in of_line)


def _stands_out(shown: EmotionInput) -> bool:
    """Whether the voice rises and falls by more than what it is heard over lets it: over noise as loud, it cannot."""
    return bool(shown.functionals[vk.LEVEL_95_PCT] - shown.functionals[vk.LEVEL_5_PCT] >= LEAST_LEVEL_RANGE_DB)


class Speaker:
    """One channel's running baseline, and how many utterances were told of it.

    wants: kinds of input of the emotion model; only `log_mel` and `waveform` make a difference here.
    """

    def __init__(
        self, channel: Channel, slot: Slot, infers_emotion: bool, wants: Collection[str] = frozenset()
    ) -> None:
        self.channel = channel
        self.slot = slot
        self.infers_emotion = infers_emotion
        self.told = 0
        self._wants = wants
        self._measures = vk.Baseline(3, LEAST_SPREADS)
        self._functionals = vk.Baseline(vk.FUNCTIONALS, NO_OUTLIERS)

    def carry_on(self, before: "Speaker") -> None:
        """In another's place on the same channel: what was measured of it goes on, what was learnt for emotion not."""
        self.told = before.told
        self._measures = before._measures

    def forget_emotion(self) -> None:
        """The notice was withdrawn: from here on nothing is inferred, and what was learnt for it is gone."""
        self.infers_emotion = False
        self._functionals = vk.Baseline(vk.FUNCTIONALS, NO_OUTLIERS)

    def hear(self, bank: Bank, span: Span, measured: Measured, call: str) -> Heard:
        """What was measured of a span (not `Kind.BEGUN`), while the bank stands where it was decided."""
        measures = measured.measures
        speech_s, syllables = measures[vk.SPEECH_S], measures[vk.SYLLABLES]
        articulation = syllables / speech_s if speech_s > 0 and syllables >= 0.5 else math.nan
        emotion_input, no_estimate = self._show(bank, span, measured)
        tempo = measured.syllables / measured.spoken_s if measured.spoken_s >= TEMPO_WINDOW_S / 2 else None
        if span.kind is Kind.SECOND and emotion_input is None:
            return Heard(self._so_far(span, measures), None, Relative(), tempo)
        own = np.array(
            [measures[vk.LEVEL_DBOV], 12.0 * math.log2(measures[vk.F0_MEDIAN_HZ]), math.log2(articulation)], np.float64
        )
        relative = self._relative(own)
        if span.kind is Kind.SECOND:
            return Heard(self._so_far(span, measures), emotion_input, relative, tempo)
        said = self._utterance(span, measures, articulation, relative, no_estimate, call)
        # Far below the own level it may be the other side's voice, come over by echo: nothing to learn from.
        faint = self._measures.is_ready and own[0] < self._measures.centre[0] - FAINT_DB
        if not faint:
            self._measures.update(own, speech_s)
            if emotion_input is not None:
                self._functionals.update(emotion_input.functionals, speech_s)
        return Heard(said, emotion_input, relative, tempo)

    def _show(self, bank: Bank, span: Span, measured: Measured) -> tuple[EmotionInput | None, NoEstimate | None]:
        """What the emotion model is to be asked, or why it is not."""
        if not self.infers_emotion:
            return None, None
        shown = self._listen(bank, span, measured.functionals)
        if shown is None:
            return None, "too_short"
        if _is_bad_line(measured.measures) or not _stands_out(shown):
            return None, "bad_line"
        return shown, None

    def _so_far(self, span: Span, measures: Sequence[float]) -> SoFar:
        return SoFar(
            self.channel.role,
            span.start_step / STEPS_PER_S,
            span.end_step / STEPS_PER_S,
            span.known_step / STEPS_PER_S,
            _or_none(measures[vk.LEVEL_DBOV], 1),
        )

    def _utterance(
        self,
        span: Span,
        measures: Sequence[float],
        articulation: float,
        relative: Relative,
        no_estimate: NoEstimate | None,
        call: str,
    ) -> Utterance:
        seconds = (span.end_step - span.start_step) / STEPS_PER_S
        syllables = measures[vk.SYLLABLES]
        terms = clarity_terms(measures, articulation)
        return Utterance(
            call=call,
            at_s=span.known_step / STEPS_PER_S,
            channel=self.channel.channel,
            role=self.channel.role,
            index=0,
            start_s=span.start_step / STEPS_PER_S,
            end_s=span.end_step / STEPS_PER_S,
            detected_s=span.known_step / STEPS_PER_S,
            syllables=round(syllables),
            articulation_rate_syll_s=_or_none(articulation, 2),
            speech_rate_syll_s=round(syllables / seconds, 2) if seconds > 0 and syllables >= 0.5 else None,
            level_dbov=_or_none(measures[vk.LEVEL_DBOV], 1),
            loudness_lufs=_or_none(measures[vk.LOUDNESS_LUFS], 1),
            f0_median_hz=_or_none(measures[vk.F0_MEDIAN_HZ], 1),
            f0_range_st=_or_none(measures[vk.F0_RANGE_ST], 1),
            f0_slope_st_s=_or_none(measures[vk.F0_SLOPE_ST_S], 2),
            voiced_share=round(_or_zero(measures[vk.VOICED_SHARE]), 3),
            jitter_pct=_or_none(measures[vk.JITTER_PCT], 2),
            shimmer_pct=_or_none(measures[vk.SHIMMER_PCT], 1),
            hnr_db=_or_none(measures[vk.MEAN_HNR_DB], 1),
            alpha_ratio_db=_or_none(measures[vk.ALPHA_RATIO_DB], 1),
            relative=relative,
            lost_s=round(_or_zero(measures[vk.LOST_SHARE]) * seconds, 3),
            bandwidth_hz=_or_none(measures[vk.BANDWIDTH_HZ], 0),
            snr_db=_or_none(measures[vk.SNR_DB], 1),
            clipped_share=round(_or_zero(measures[vk.CLIPPED_SHARE]), 4),
            clarity=round(math.prod(terms.values()) ** (1 / len(terms)), 3),
            clarity_terms=terms,
            no_estimate=no_estimate,
        )

    def stretch(self, span: Span) -> Stretch:
        """What is to be measured of a span for `hear`."""
        since_step = self._shown_from(span) if self.infers_emotion else None
        return Stretch(self.slot, span.start_step, span.end_step, since_step)

    def _shown_from(self, span: Span) -> int:
        """The step from which on the emotion model is shown a span."""
        if span.kind is Kind.SECOND:
            return max(span.start_step, span.end_step - round(RECENT_S * STEPS_PER_S))
        return span.start_step

    def _listen(self, bank: Bank, span: Span, functionals: NDArray[np.float64] | None) -> EmotionInput | None:
        """What the emotion model is shown of a span; None where there is too little speech."""
        if functionals is None:
            return None
        start, end = self._shown_from(span), span.end_step
        centre, trust = self._functionals.centre, self._functionals.trust
        shown = EmotionInput(functionals, centre, trust, (end - start) / STEPS_PER_S)
        if "log_mel" in self._wants:
            mel, mean_db = bank.mel(self.slot, start, end)
            shown = shown._replace(mel=mel, mel_mean_db=mean_db)
        if "waveform" in self._wants:
            shown = shown._replace(pcm=bank.audio(self.slot, start, end))
        return shown

    def _relative(self, own: NDArray[np.float64]) -> Relative:
        if not self._measures.is_ready:
            return Relative()
        level_db, f0_st, octaves = own - self._measures.centre
        return Relative(_or_none(level_db, 1), _or_none(f0_st, 1), _or_none(100.0 * (2.0**octaves - 1.0), 1))
