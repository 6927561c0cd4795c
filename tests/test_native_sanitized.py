"""The native media plane built with the address, undefined and thread sanitizers: fuzzed, and from many threads."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPILER = shutil.which("g++") or shutil.which("clang++")
FUZZ_S = 6


def built(folder: Path, source: str, *sanitizers: str) -> Path:
    if COMPILER is None:
        pytest.skip("a C++ compiler is missing (apt-get install g++)")
    flags = [f"-fsanitize={','.join(sanitizers)}"]
    probe = subprocess.run(
        [COMPILER, *flags, "-x", "c++", "-", "-o", folder / "probe"], input=b"int main(){}", capture_output=True
    )
    if probe.returncode:
        pytest.skip(f"{COMPILER} has no {flags[0]}")
    out = folder / Path(source).stem
    command = [COMPILER, "-std=c++20", "-g", "-O1", "-Wall", "-Wextra", "-Werror", *flags, "-fno-sanitize-recover=all"]
    command += [f"-I{ROOT / 'kernels/native'}", str(ROOT / "tests/native" / source), "-o", str(out), "-pthread"]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[:3000]
    return out


def ran(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout[-500:]}{done.stderr[:3000]}"
    return done.stdout


def test_whatever_comes_harms_nobody(tmp_path: Path) -> None:
    fuzz = built(tmp_path, "fuzz.cpp", "address", "undefined")
    assert int(ran(fuzz, str(FUZZ_S)).split()[0]) > 50
    # And a defect would be found.
    done = subprocess.run([fuzz, "defect"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr


@pytest.mark.parametrize("sanitizers", [("thread",), ("address", "undefined")])
def test_streams_come_and_go_under_load(tmp_path: Path, sanitizers: tuple[str, ...]) -> None:
    assert "packets" in ran(built(tmp_path, "threads.cpp", *sanitizers))
