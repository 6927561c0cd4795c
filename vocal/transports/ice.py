"""Where media come in: which of this machine's addresses and UDP ports are offered, and what stands before it.

What of aioice is not public and used here stands in `prepare`, which takes the place of how it gathers candidates.
"""

import asyncio
import base64
import hashlib
import hmac
import random
import re
import socket
from typing import Any, NamedTuple

import aioice
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, get_host_addresses, server_reflexive_candidate
from aiortc import RTCIceServer

from vocal.errors import CapacityError

LOOPBACK = ("127.0.0.1", "::1")
GATHER_S = 5.0
RECEIVE_BYTES = 1 << 20
CREDENTIAL_S = 86_400.0


class Ways(NamedTuple):
    """How a connection may be reached.

    addresses: of this machine; none: all but loopback. ports: first and last UDP port; none: any that is free. public:
    the address that others know this machine by. turn: of a relay, with its user and password.
    """

    addresses: tuple[str, ...] = ()
    ports: tuple[int, int] | None = None
    public: str = ""
    stun: tuple[str, ...] = ()
    turn: tuple[str, ...] = ()
    username: str = ""
    password: str = ""

    @property
    def servers(self) -> list[RTCIceServer]:
        relays = [RTCIceServer(url, self.username, self.password) for url in self.turn]
        return [RTCIceServer(url) for url in self.stun] + relays

    @property
    def are_plain(self) -> bool:
        """Whether aioice's own way to gather candidates will do."""
        return not (self.addresses or self.ports or self.public)


def passing_credentials(secret: str, who: str, now_s: float) -> tuple[str, str]:
    """User and password at a TURN server for a day, out of the secret it shares with us (coturn: `use-auth-secret`)."""
    username = f"{int(now_s + CREDENTIAL_S)}:{re.sub(r'[^A-Za-z0-9@._-]', '_', who)}"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


def prepare(connection: aioice.Connection, ways: Ways) -> None:
    """Lets a connection gather what `ways` allow, before it begins to."""
    relayed = connection.get_component_candidates

    async def gather(component: int, addresses: list[str], timeout: int = int(GATHER_S)) -> list[aioice.Candidate]:
        protocols = await _listen(connection, ways)
        for protocol in protocols:
            protocol.local_candidate = _candidate(component, protocol)
        connection._protocols += protocols
        found = [protocol.local_candidate for protocol in protocols]
        if ways.public:
            found += [_seen_as(one, ways.public) for one in found if (":" in one.host) == (":" in ways.public)]
        elif connection.stun_server:
            asking = [server_reflexive_candidate(one, connection.stun_server) for one in protocols]
            answers = await asyncio.gather(*(asyncio.wait_for(one, GATHER_S) for one in asking), return_exceptions=True)
            found += [one[0] for one in answers if not isinstance(one, BaseException)]
        return found + await relayed(component, [], timeout)

    vars(connection)["get_component_candidates"] = gather


async def _listen(connection: aioice.Connection, ways: Ways) -> list[Any]:
    """A socket on each address. Raises CapacityError where there is none to be had."""
    loop = asyncio.get_running_loop()
    found: list[Any] = []
    fault = ""
    for address in ways.addresses or get_host_addresses(True, True):
        try:
            opened = _open(address, *(ways.ports or (0, 0)))
        except OSError as error:
            fault = f"{address}: {error.strerror}"
            continue
        _, protocol = await loop.create_datagram_endpoint(lambda: StunProtocol(connection), sock=opened)
        found.append(protocol)
    if not found:
        where = f"UDP ports {ways.ports[0]} to {ways.ports[1]}" if ways.ports else "UDP port"
        raise CapacityError(f"no free {where} for media ({fault or 'no address'})", 5.0)
    return found


def _open(address: str, first: int, last: int) -> socket.socket:
    """On one of the ports; raises the last one's OSError."""
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    fault = OSError()
    for port in random.sample(range(first, last + 1), last + 1 - first):
        try:
            opened.bind((address, port))
        except OSError as error:
            fault = error
        else:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            return opened
    opened.close()
    raise fault


def _candidate(component: int, protocol: Any) -> aioice.Candidate:
    host, port = protocol.transport.get_extra_info("sockname")[:2]
    return aioice.Candidate(
        foundation=candidate_foundation("host", "udp", host),
        component=component,
        transport="udp",
        priority=candidate_priority(component, "host"),
        host=host,
        port=port,
        type="host",
    )


def _seen_as(local: aioice.Candidate, public: str) -> aioice.Candidate:
    """A local candidate as those see it who are beyond the address translation; it keeps the port."""
    return aioice.Candidate(
        foundation=candidate_foundation("srflx", "udp", public),
        component=local.component,
        transport="udp",
        priority=candidate_priority(local.component, "srflx"),
        host=public,
        port=local.port,
        type="srflx",
        related_address=local.host,
        related_port=local.port,
    )
