"""Settings: defaults, file, environment, and errors that help."""

from pathlib import Path

import pytest

from vocal.config import Config, load_config
from vocal.errors import ConfigError


def test_defaults_without_anything() -> None:
    assert load_config(None, {}) == Config()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "vocal.toml"
    path.write_text("[boundary]\nhangover_ms = 400\nonset_ms = 60\n")
    config = load_config(path, {"VOCAL_BOUNDARY_HANGOVER_MS": "500", "OTHER": "1"})
    assert (config.boundary.hangover_ms, config.boundary.onset_ms) == (500, 60)
    assert load_config(None, {"VOCAL_CONFIG": str(path)}).boundary.hangover_ms == 400


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[boundary]\nhangover = 400\n", "unknown key 'hangover'; did you mean 'hangover_ms'?"),
        ("[boundry]\n", "unknown key 'boundry'; did you mean 'boundary'?"),
        ("boundary = 3\n", r"wanted a table \[boundary\], got 3"),
        ("[boundary]\nhangover_ms = 'x'\n", "hangover_ms"),
        ("[boundary", "wanted a TOML file"),
        ("[emotion]\nagents = true\n", "unknown key 'agents'"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, body: str, message: str) -> None:
    path = tmp_path / "vocal.toml"
    path.write_text(body)
    with pytest.raises(ConfigError, match=message) as error:
        load_config(path, {})
    assert str(path) in str(error.value)


def test_an_unknown_variable_of_a_room_is_an_error() -> None:
    with pytest.raises(ConfigError, match="did you mean 'threads'"):
        load_config(None, {"VOCAL_EMOTION_THREAD": "2"})


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load_config("nowhere.toml", {})
