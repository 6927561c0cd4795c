"""Keys and audit log, where the settings and a command say that they are."""

import argparse
import getpass
from pathlib import Path

from vocal.audit import Audit
from vocal.config import Config, load_config
from vocal.errors import UsageError
from vocal.pseudonyms import Pseudonyms


def add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", metavar="DIR", help="the store (default: what the settings say)")
    parser.add_argument("--accounts", metavar="FILE", help="accounts and tokens (default: what the settings say)")
    parser.add_argument("--config", metavar="FILE", help="settings, TOML (or VOCAL_CONFIG)")


def places(config: Config, store: str | None, accounts: str | None) -> tuple[Path, Path] | None:
    """The keys' folder and the audit log's file; None: in memory."""
    return config.privacy.places(store or config.store.folder, accounts or config.server.accounts)


def open_evidence(config: Config, store: str | None, accounts: str | None) -> tuple[Pseudonyms, Audit]:
    """For whoever may do without files, as a server that keeps nothing."""
    found = places(config, store, accounts)
    return (Pseudonyms(), Audit()) if found is None else (Pseudonyms(found[0]), Audit(found[1], found[0]))


def audit_of(given: argparse.Namespace) -> Audit:
    """The audit log that --store, --accounts and --config lead to. Raises UsageError where there is none."""
    keys, log = wanted_places(given)
    return Audit(log, keys)


def wanted_places(given: argparse.Namespace) -> tuple[Path, Path]:
    found = places(load_config(given.config), given.store, given.accounts)
    if found is None:
        raise UsageError("wanted --store DIR or --accounts FILE, or `folder` under [store] in the settings")
    return found


def me() -> str:
    """Who gives a command, for the audit log."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):
        return "command line"
