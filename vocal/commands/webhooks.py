"""`vocal webhooks`: who is told of calls, what did not arrive, and sending it again."""

import argparse
import asyncio
import time
from typing import TYPE_CHECKING

import msgspec
from rich.table import Table

from vocal.commands.screen import ERR, OUT, Commands
from vocal.config import load_config
from vocal.errors import UsageError, unknown

if TYPE_CHECKING:
    from vocal.config import WebhooksConfig
    from vocal.sinks.outbox import Outbox
    from vocal.sinks.webhook import Sender


def add(commands: Commands) -> None:
    webhooks = commands.add_parser(
        "webhooks",
        help="other systems that are told of calls: try them, and send again what they did not take",
        description="Endpoints stand in the settings, [webhooks]. Works beside a running server.",
    )
    kinds = webhooks.add_subparsers(metavar="COMMAND", required=True)
    ls = kinds.add_parser("ls", help="list the endpoints, what waits and what is dead")
    test = kinds.add_parser("test", help="send each endpoint, or one, an event without a call now")
    dead = kinds.add_parser("dead", help="events that were given up, and why")
    replay = kinds.add_parser("replay", help="send dead events again; an endpoint that said 410 is asked again, too")
    erase = kinds.add_parser("erase", help="take a call out of what waits and of what is dead")
    erase.add_argument("call", metavar="CALL")
    for kind, run in ((ls, _ls), (test, _test), (dead, _dead), (replay, _replay), (erase, _erase)):
        kind.add_argument("--config", metavar="FILE", help="settings, TOML (or VOCAL_CONFIG)")
        kind.set_defaults(run=run)
    for kind in (test, dead, replay):
        kind.add_argument("name", nargs="?", help="an endpoint (default: all)")
    dead.add_argument("--json", action="store_true", help="whole, one JSON object a line")
    replay.add_argument("--id", help="one event only")


def _opened(given: argparse.Namespace) -> "tuple[WebhooksConfig, list[Sender]]":
    from vocal.sinks.webhook import senders

    config = load_config(given.config).webhooks
    if not config.endpoints:
        raise UsageError("no endpoints in the settings: wanted [[webhooks.endpoints]] (--config FILE or VOCAL_CONFIG)")
    found = senders(config)
    name = getattr(given, "name", None)
    if name is not None and name not in [one.name for one in found]:
        raise UsageError(unknown("endpoint", name, [one.name for one in found]))
    return config, [one for one in found if name in (None, one.name)]


def _outbox(config: "WebhooksConfig") -> "Outbox":
    from vocal.sinks.outbox import Outbox

    return Outbox(config.folder, time.time)


def _ls(given: argparse.Namespace) -> int:
    config, found = _opened(given)
    outbox = _outbox(config)
    sizes, gone = outbox.sizes(), outbox.gone()
    dead = [one.endpoint for one in outbox.dead()]
    outbox.close()
    columns = ("name", "url", "events", "cues of", "queues", "inferred", "waiting", "dead", "state")
    table = Table(*columns, title="webhooks", title_justify="left")
    for one in found:
        endpoint = one.endpoint
        told = (", ".join(endpoint.events), ", ".join(endpoint.audience), ", ".join(endpoint.queues) or "all")
        counts = (str(sizes.get(one.name, 0)), str(dead.count(one.name)))
        state = "gone (410)" if one.name in gone else "open"
        table.add_row(one.name, endpoint.url, *told, "yes" if endpoint.inferred else "no", *counts, state)
    OUT.print(table)
    return 0


def _test(given: argparse.Namespace) -> int:
    from vocal.sinks.webhook import trial_event

    config, found = _opened(given)

    async def ask(sender: "Sender") -> bool:
        event = trial_event(config.source)
        began_s = time.monotonic()
        async with sender.open() as client:
            outcome = await sender.post(client, event.id, msgspec.json.encode(event))
        took_ms = 1000.0 * (time.monotonic() - began_s)
        said = f"{sender.name}: {outcome.why or f'{outcome.status}, taken'} after {took_ms:.0f} ms"
        (OUT if outcome.is_taken else ERR).print(said, markup=False, soft_wrap=True)
        return outcome.is_taken

    async def ask_all() -> bool:
        return all([await ask(one) for one in found])

    return 0 if asyncio.run(ask_all()) else 1


def _dead(given: argparse.Namespace) -> int:
    config, _ = _opened(given)
    outbox = _outbox(config)
    dead = [one for one in outbox.dead() if given.name in (None, one.endpoint)]
    outbox.close()
    if given.json:
        for one in dead:
            print(msgspec.json.encode(one).decode())
        return 0
    table = Table("given up", "endpoint", "event", "call", "tries", "why", "id", title_justify="left")
    for one in dead:
        table.add_row(one.at[:19], one.endpoint, one.event.type, one.call, str(one.tries), one.why, one.id)
    OUT.print(table if dead else "no dead events")
    return 0


def _replay(given: argparse.Namespace) -> int:
    config, found = _opened(given)
    outbox = _outbox(config)
    count = outbox.replay(lambda one: one.endpoint in [sender.name for sender in found] and given.id in (None, one.id))
    for sender in found:
        outbox.come_back(sender.name)
    outbox.close()
    OUT.print(f"events that wait again: {count}")
    return 0 if count or given.id is None else 1


def _erase(given: argparse.Namespace) -> int:
    config, _ = _opened(given)
    outbox = _outbox(config)
    OUT.print(f"events erased: {outbox.erase(given.call)}")
    outbox.close()
    return 0
