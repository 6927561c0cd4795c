"""What a server runs with, as the audit log keeps it: settings that are not the default, rules, model. No secrets."""

import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from vocal.config import Config
from vocal.contract import models_folder, read_contract
from vocal.errors import VocalError
from vocal.rules import DEFAULT_FILE

SECRET = ("secret", "password", "token", "_keys", "turn_user")
"""Settings whose name has one of these in it are told apart by a keyed mark, and never shown."""


def in_force(config: Config, mark: Callable[[str], str]) -> dict[str, str]:
    """By name, as text. mark: a keyed digest, which only says whether a secret is another one now."""
    default = Config()
    found = {"version": importlib.metadata.version("vocal"), "model": _model(config), "rules": _rules(config)}
    for room in Config.__struct_fields__:
        for name, value in msgspec.to_builtins(getattr(config, room)).items():
            if value != msgspec.to_builtins(getattr(getattr(default, room), name)):
                is_secret = any(word in name for word in SECRET)
                shown = msgspec.json.encode(value, order="sorted").decode()
                found[f"{room}.{name}"] = f"secret {mark(shown)}" if is_secret else shown
    return found


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, list[str | None]]:
    """What is another than it was: name -> [before, now]; None: not set."""
    names = sorted(before.keys() | now.keys())
    return {name: [before.get(name), now.get(name)] for name in names if before.get(name) != now.get(name)}


def _model(config: Config) -> str:
    try:
        contract = read_contract(Path(config.emotion.model) if config.emotion.model else models_folder() / "emotion")
    except VocalError as error:
        return f"none: {error}"
    return f"{contract.name} {contract.version}, sha256 {contract.sha256[:16]}"


def _rules(config: Config) -> str:
    file = Path(config.rules.file) if config.rules.file else DEFAULT_FILE
    try:
        return f"{file.name}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
    except OSError as error:
        return f"{file.name}: {error.strerror}"
