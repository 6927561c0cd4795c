"""G.711 in the native part: every code against the standard's tables and the ITU's own files; refusals."""

from collections.abc import Callable
from pathlib import Path

import naive
import numpy as np
import pytest
from vocal_kernels import _native

DATA = Path(__file__).parents[2] / "shared/data/itu_stl/src/g711/test_data"
CODES = bytes(range(256))
LAWS = [
    pytest.param(_native.decode_alaw, naive.alaw, id="alaw"),
    pytest.param(_native.decode_ulaw, naive.ulaw, id="ulaw"),
]


@pytest.mark.parametrize(("decode", "twin"), LAWS)
@pytest.mark.parametrize("lane", [0, 7, 15])
def test_all_codes(decode: Callable[..., int], twin: Callable[[int], int], lane: int) -> None:
    block = np.full((300, 16), 7.0, np.float32)
    assert decode(CODES, block, lane) == 256
    np.testing.assert_array_equal(block[:256, lane] * 32768, [twin(code) for code in CODES])
    # Nothing else was touched.
    assert (block[256:] == 7.0).all()
    assert (np.delete(block, lane, axis=1) == 7.0).all()


def test_extremes_and_zero() -> None:
    block = np.zeros((2, 16), np.float32)
    _native.decode_alaw(bytes([0xAA, 0xD5]), block, 0)
    _native.decode_ulaw(bytes([0x80, 0xFF]), block, 1)
    np.testing.assert_array_equal(block[:, 0] * 32768, [32256, 8])
    np.testing.assert_array_equal(block[:, 1] * 32768, [32124, 0])


@pytest.mark.skipif(not DATA.exists(), reason="the ITU's test data (shared/data/itu_stl) are not here")
@pytest.mark.parametrize(
    ("decode", "codes", "samples"),
    [(_native.decode_alaw, "sweep-r.a", "sweep-r.rea"), (_native.decode_ulaw, "sweep-r.u", "sweep-r.reu")],
    ids=["alaw", "ulaw"],
)
def test_the_itus_sweep(decode: Callable[..., int], codes: str, samples: str) -> None:
    coded = np.fromfile(DATA / codes, "<u2")
    assert set(coded.tolist()) == set(range(256))
    payload = coded.astype(np.uint8).tobytes()
    block = np.zeros((len(payload), 16), np.float32)
    assert decode(payload, block, 3) == len(payload)
    np.testing.assert_array_equal(block[:, 3] * 32768, np.fromfile(DATA / samples, "<i2"))


@pytest.mark.parametrize("decode", [_native.decode_alaw, _native.decode_ulaw])
class TestRefusals:
    def test_lane(self, decode: Callable[..., int]) -> None:
        with pytest.raises(ValueError, match="lane: wanted 0 to 15, got 16"):
            decode(b"\x00", np.zeros((1, 16), np.float32), 16)
        with pytest.raises(TypeError):
            decode(b"\x00", np.zeros((1, 16), np.float32), -1)

    def test_too_long(self, decode: Callable[..., int]) -> None:
        block = np.zeros((160, 16), np.float32)
        with pytest.raises(ValueError, match="payload: wanted at most 160 bytes for this block, got 161"):
            decode(bytes(161), block, 0)
        assert not block.any()
        assert decode(bytes(160), block, 0) == 160

    @pytest.mark.parametrize(
        "block",
        [
            np.zeros((4, 16)),
            np.zeros((4, 16), np.int16),
            np.zeros((4, 8), np.float32),
            np.zeros(64, np.float32),
            np.zeros((4, 16), np.float32, "F"),
            np.zeros((8, 16), np.float32)[::2],
            np.zeros((4, 32), np.float32)[:, ::2],
        ],
        ids=["float64", "int16", "eight lanes", "flat", "columns first", "every other row", "every other lane"],
    )
    def test_block(self, decode: Callable[..., int], block: np.ndarray) -> None:
        with pytest.raises(TypeError):
            decode(b"\x00", block, 0)
        assert not block.any()

    def test_block_that_may_not_be_written(self, decode: Callable[..., int]) -> None:
        block = np.zeros((4, 16), np.float32)
        block.flags.writeable = False
        with pytest.raises(TypeError):
            decode(b"\x00", block, 0)

    @pytest.mark.parametrize("payload", [bytearray(2), np.zeros(2, np.uint8), "ab", None])
    def test_payload(self, decode: Callable[..., int], payload: object) -> None:
        with pytest.raises(TypeError):
            decode(payload, np.zeros((4, 16), np.float32), 0)

    def test_nothing(self, decode: Callable[..., int]) -> None:
        assert decode(b"", np.zeros((0, 16), np.float32), 0) == 0


def test_lanes_are_the_kernels() -> None:
    from vocal_kernels import LANES

    assert _native.LANES == LANES
