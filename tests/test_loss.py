"""What does not arrive is counted, carried on from the voice before it, and touches nothing else."""

import numpy as np
import pytest
import vocal_kernels as vk
from signals import line, voice

PACKET = 160


def lossy(x: np.ndarray, packets: list[int], value: float = np.nan) -> np.ndarray:
    out = x.copy()
    for packet in packets:
        out[packet * PACKET : (packet + 1) * PACKET] = value
    return out


def test_lost_time_is_what_was_lost() -> None:
    x = voice(3.0)
    rows = vk.extract([lossy(x, [30, 31, 77])])[0]
    np.testing.assert_array_equal(np.flatnonzero(rows[:, vk.LOST]), [60, 61, 62, 63, 154, 155])
    part = x.copy()
    part[8000:8020] = np.nan
    assert vk.extract([part])[0][100, vk.LOST] == pytest.approx(0.25)


def test_a_lost_packet_is_filled_with_the_voice_before_it() -> None:
    x = voice(4.0, syllables_per_s=0.5) + line(4.0)  # swelling slowly: what comes is like what was
    lost = [40, 60, 110, 130, 150]
    whole, filled, silent = vk.extract([x, lossy(x, lost), lossy(x, lost, 0.0)])
    # 20 ms a second and a half: the measures of a step in the gap are off by little, with zeros by much.
    steps = np.array([2 * packet + hop for packet in lost for hop in (0, 1)])
    for column, limit in ((vk.POWER_DB, 6.0), (vk.SPEECH, 0.1)):
        error = np.abs(filled[steps, column] - whole[steps, column]).mean()
        assert error < limit
        assert error < 0.5 * np.abs(silent[steps, column] - whole[steps, column]).mean() + 0.02
    both = (whole[:, vk.F0_HZ] > 0) & (filled[:, vk.F0_HZ] > 0)
    assert both.sum() > 0.95 * (whole[:, vk.F0_HZ] > 0).sum()
    assert np.abs(np.log2(filled[both, vk.F0_HZ] / whole[both, vk.F0_HZ])).max() * 12 < 2.0


def test_a_long_loss_dies_away_and_is_over_at_once() -> None:
    x = voice(6.0) + line(6.0)
    whole, found = vk.extract([x, lossy(x, list(range(100, 200)))])
    assert found[230:395, vk.POWER_DB].max() < -70.0
    assert (found[230:380, vk.SPEECH] < 0.35).mean() > 0.9
    np.testing.assert_array_equal(found[: 200 - vk.TEMPO_DELAY], whole[: 200 - vk.TEMPO_DELAY])
    np.testing.assert_allclose(found[410:, vk.POWER_DB], whole[410:, vk.POWER_DB], atol=0.2)


def test_a_channel_that_begins_with_nothing_is_silent() -> None:
    rows = vk.extract([np.full(8000, np.nan), lossy(voice(1.0), [0, 1, 2])])
    assert (rows[0][:, vk.POWER_DB] == -100.0).all()
    assert (rows[0][:, vk.LOST] == 1.0).all()
    assert np.isfinite(np.delete(rows[1], [vk.JITTER, vk.SHIMMER, vk.HNR_DB], axis=1)).all()


def test_an_offset_of_the_line_is_kept_over_a_loss() -> None:
    x = 0.2 + voice(3.0, level_dbov=-40.0)
    whole, found = vk.extract([x, lossy(x, [60, 61])])
    np.testing.assert_allclose(found[116:130, vk.POWER_DB], whole[116:130, vk.POWER_DB], atol=15.0)
    assert found[116:150, vk.POWER_DB].max() < -28.0  # an offset that comes and goes would be a bang of -14 dBov
