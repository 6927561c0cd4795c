"""Sockets for SIP: UDP, TCP and TLS on an event loop. Who may not come is turned away here, before anything is read.

Connections are bounded in number, in what they may leave half said and in what they do not fetch.
"""

import asyncio
import ipaddress
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, cast

from vocal.transports.sip import Flow
from vocal.transports.sip_message import Framer, TooLarge

OnMessage = Callable[[bytes, Flow], None]
RECEIVE_BYTES = 4_194_304
MOST_UNSENT = 1_048_576
MOST_HALF_S = 10.0
"""How long a message may take to become whole."""

QUIET_S = 600.0
"""How long a connection on which nothing is said stays."""

MOST_HOSTS = 4_096


class Network:
    """Addresses that may come. networks: as `10.0.0.0/8`, or one address. Raises ValueError."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(one, strict=False) for one in networks]
        self._known: OrderedDict[str, bool] = OrderedDict()

    def __contains__(self, host: str) -> bool:
        if (known := self._known.get(host)) is not None:
            return known
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        found = any((mapped or address) in one for one in self._networks)
        self._known[host] = found
        if len(self._known) > MOST_HOSTS:
            self._known.popitem(last=False)
        return found


class Doors:
    """The listening sockets and all connections. on_lost: a connection is gone, with its number.

    Strangers' datagrams go to `on_stranger`; strangers' connections are cut.
    """

    def __init__(
        self,
        network: Network,
        address: str,
        most: int,
        on_message: OnMessage,
        on_stranger: OnMessage = lambda data, flow: None,
        on_too_large: OnMessage = lambda head, flow: None,
        on_lost: Callable[[int], None] = lambda number: None,
    ) -> None:
        self.network, self._address, self._most = network, address, most
        self.on_message, self.on_stranger = on_message, on_stranger
        self.on_too_large, self.on_lost = on_too_large, on_lost
        self._connections: dict[int, _Connection] = {}
        self._number = 0
        self._udp: asyncio.DatagramTransport | None = None
        self._servers: list[asyncio.Server] = []
        self._local: dict[str, str] = {}
        self.bound: dict[str, tuple[str, int]] = {}
        names = ("connections", "strangers", "too_many", "too_slow", "too_large", "not_framed", "unsent")
        self.counts = dict.fromkeys(names, 0)

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def listen(self, host: str, port: int) -> None:
        """UDP and TCP on the same port. Raises OSError."""
        loop = asyncio.get_running_loop()
        for attempt in range(10):
            transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(host, port))
            found = transport.get_extra_info("sockname")
            try:
                await self._serve("tcp", host, found[1], None)
            except OSError:
                # Any free port: it may be free for UDP only.
                transport.close()
                if port or attempt == 9:
                    raise
                continue
            self._udp = transport
            # A burst waits here rather than be lost: what is lost comes again, and again.
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            self.bound["udp"] = (found[0], found[1])
            return

    async def listen_tls(self, host: str, port: int, context: ssl.SSLContext) -> None:
        await self._serve("tls", host, port, context)

    async def _serve(self, kind: str, host: str, port: int, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self, kind), host, port, ssl=context)
        self._servers.append(server)
        self.bound[kind] = server.sockets[0].getsockname()[:2]

    async def connect(self, kind: str, peer: tuple[str, int], context: ssl.SSLContext | None = None) -> Flow:
        """A connection of our own. Raises OSError."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self, kind), peer[0], peer[1], ssl=context)
        if connection.flow is None:
            raise OSError("the connection is not taken")
        return connection.flow

    def udp_flow(self, peer: tuple[str, int]) -> Flow:
        return Flow("udp", peer, (self.local_host(peer[0]), self.bound["udp"][1]))

    def local_host(self, peer: str) -> str:
        """Our address as a peer reaches it."""
        if self._address:
            return self._address
        if (known := self._local.get(peer)) is None:
            family = socket.AF_INET6 if ":" in peer else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                try:
                    probe.connect((peer, 9))  # sends nothing
                    known = str(probe.getsockname()[0])
                except OSError:
                    known = "127.0.0.1"
            if len(self._local) >= MOST_HOSTS:
                self._local.clear()
            self._local[peer] = known
        return known

    def send(self, flow: Flow, data: bytes) -> bool:
        """False where there is no way any more."""
        if flow.transport == "udp":
            if self._udp is None or self._udp.is_closing():
                return False
            self._udp.sendto(data, flow.peer)
            return True
        connection = self._connections.get(flow.connection)
        if connection is None:
            # Gone; the peer may have come by another one.
            same = (flow.transport, flow.peer[0])
            others = (one for one in self._connections.values() if one.flow and (one.flow[0], one.flow[1][0]) == same)
            connection = next(others, None)
        if connection is None or not connection.write(data):
            self.counts["unsent"] += 1
            return False
        return True

    def look(self, now_s: float) -> None:
        """Cuts connections that leave a message half said, or say nothing any more."""
        for one in list(self._connections.values()):
            if one.half_since_s is not None and now_s - one.half_since_s > MOST_HALF_S:
                self.counts["too_slow"] += 1
                one.cut()
            elif now_s - one.heard_s > QUIET_S:
                one.cut()

    def close(self) -> None:
        if self._udp is not None:
            self._udp.close()
        for server in self._servers:
            server.close()
        for one in list(self._connections.values()):
            one.finish()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        doors = self._doors
        peer = (str(address[0]), int(address[1]))
        if len(data) < 16:  # a keepalive
            return
        flow = Flow("udp", peer, (doors.local_host(peer[0]), self._port))
        if peer[0] in doors.network:
            doors.on_message(data, flow)
        else:
            doors.counts["strangers"] += 1
            doors.on_stranger(data, flow)

    def error_received(self, error: Exception) -> None:
        """A peer that is not there any more: its calls end by their timers."""


class _Connection(asyncio.Protocol):
    def __init__(self, doors: Doors, kind: str) -> None:
        self._doors, self._kind = doors, kind
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self.flow: Flow | None = None
        self.half_since_s: float | None = None
        self.heard_s = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        doors = self._doors
        self._transport = cast(asyncio.Transport, transport)
        found, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        peer = (str(found[0]), int(found[1])) if found else ("", 0)
        if peer[0] not in doors.network:
            doors.counts["strangers"] += 1
            self._transport.abort()
        elif len(doors._connections) >= doors._most:
            doors.counts["too_many"] += 1
            self._transport.abort()
        else:
            doors._number += 1
            doors.counts["connections"] += 1
            port = doors.bound.get(self._kind, local)[1]
            self.flow = Flow(self._kind, peer, (doors.local_host(peer[0]), port), doors._number)  # type: ignore[arg-type]
            doors._connections[doors._number] = self

    def data_received(self, data: bytes) -> None:
        flow = self.flow
        if flow is None:
            return
        self.heard_s = time.monotonic()
        try:
            messages = self._framer.push(data)
        except TooLarge as error:
            self._doors.counts["too_large"] += 1
            self._doors.on_too_large(error.head, flow)
            self.finish()
            return
        except ValueError:
            self._doors.counts["not_framed"] += 1
            self.finish()
            return
        if self._framer.pings:
            self.write(b"\r\n" * self._framer.pings)
            self._framer.pings = 0
        for message in messages:
            self._doors.on_message(message, flow)
        if not self._framer.is_amid:
            self.half_since_s = None
        elif self.half_since_s is None or messages:
            self.half_since_s = self.heard_s

    def connection_lost(self, error: Exception | None) -> None:
        if self.flow is not None and self._doors._connections.pop(self.flow.connection, None) is not None:
            self._doors.on_lost(self.flow.connection)

    def write(self, data: bytes) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > MOST_UNSENT:
            self.cut()
            return False
        transport.write(data)
        return True

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def finish(self) -> None:
        """After what was written has gone out."""
        if self._transport is not None:
            self._transport.close()
