"""`vocal accounts`: who may use the server."""

import argparse
import sys
from typing import TYPE_CHECKING, Any, get_args

from rich.table import Table

from vocal.commands.evidence import add_places, me, open_evidence
from vocal.commands.screen import OUT, Commands
from vocal.config import load_config
from vocal.errors import UsageError
from vocal.types import PersonRole

if TYPE_CHECKING:
    from vocal.access import Access


def add(commands: Commands) -> None:
    accounts = commands.add_parser("accounts", help="who may use the server")
    kinds = accounts.add_subparsers(metavar="COMMAND", required=True)
    new = kinds.add_parser("add", help="an account, or a new password for one; asks for the password")
    new.add_argument("name")
    new.add_argument("--role", required=True, choices=get_args(PersonRole))
    token = kinds.add_parser("token", help="an API token; it is shown once")
    token.add_argument("name")
    token.add_argument("--role", required=True, choices=(*get_args(PersonRole), "ingest"))
    token.add_argument("--days", type=float, default=90.0, help="until it expires (default %(default)s)")
    for kind in (new, token):
        kind.add_argument("--agent", help="an agent's id, as calls name it")
        kind.add_argument("--team", help="a lead's or an agent's team")
    remove = kinds.add_parser("remove", help="an account and all its tokens")
    remove.add_argument("name")
    ls = kinds.add_parser("ls", help="list them")
    for kind, run in ((new, _add), (token, _token), (remove, _remove), (ls, _ls)):
        add_places(kind)
        kind.set_defaults(run=run)


def _accounts(given: argparse.Namespace) -> "Access":
    from vocal.access import Access

    path = given.accounts or load_config(given.config).server.accounts
    if not path:
        raise UsageError("wanted --accounts FILE, or `accounts` under [server] in the settings")
    return Access(path)


def _tell(given: argparse.Namespace, act: str, **detail: Any) -> None:
    """Before it is done: what cannot be told is not done."""
    _, audit = open_evidence(load_config(given.config), given.store, given.accounts)
    audit.append(me(), act, given.name, **{name: value for name, value in detail.items() if value is not None})


def _add(given: argparse.Namespace) -> int:
    import getpass

    from vocal.access import Principal

    access = _accounts(given)
    password = getpass.getpass(f"password for {given.name}: ") if sys.stdin.isatty() else sys.stdin.readline().strip()
    principal = Principal(given.name, given.role, given.agent, given.team)
    access.check_new(principal, password)
    _tell(given, "account.added", role=given.role, team=given.team)
    access.add(principal, password)
    return 0


def _token(given: argparse.Namespace) -> int:
    from vocal.access import Principal

    access = _accounts(given)
    principal = Principal(given.name, given.role, given.agent, given.team)
    access.check_new(principal)
    _tell(given, "token.made", role=given.role, team=given.team, days=given.days)
    OUT.print(access.issue(principal, "token", given.days * 86400.0), markup=False, soft_wrap=True)
    return 0


def _remove(given: argparse.Namespace) -> int:
    access = _accounts(given)
    _tell(given, "account.removed")
    access.remove(given.name)
    return 0


def _ls(given: argparse.Namespace) -> int:
    table = Table("name", "role", "agent", "team", title="accounts", title_justify="left")
    for one in _accounts(given).accounts():
        table.add_row(one.name, one.role, one.agent or "", one.team or "")
    OUT.print(table)
    return 0
