"""Running the server: where it may listen, and how."""

import asyncio
import contextlib
import importlib.metadata
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from typing import Literal

import uvicorn

from vocal.errors import UsageError
from vocal.guard import LOOPBACK, App

MOST_FRAME = 65_536


def check_exposure(host: str, has_accounts: bool, has_tls: bool, insecure: bool) -> None:
    """Raises UsageError for a server that strangers could reach and use or listen to."""
    if host in LOOPBACK or insecure:
        return
    missing = [
        what
        for what, there in (("accounts (vocal accounts add) or [oidc]", has_accounts), ("TLS", has_tls))
        if not there
    ]
    if missing:
        raise UsageError(
            f"--host {host}: others could reach this server; wanted {' and '.join(missing)}, or --insecure"
        )


def uvicorn_config(
    app: App, host: str, port: int, certificate: str | None = None, key: str | None = None, proxies: Sequence[str] = ()
) -> uvicorn.Config:
    """proxies: whose forwarding headers are believed; nobody else's are."""
    loop: Literal["uvloop", "asyncio"] = "asyncio"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("uvloop")
        loop = "uvloop"
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop=loop,
        ws="websockets-sansio",
        ws_max_size=MOST_FRAME,
        ws_per_message_deflate=False,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        timeout_graceful_shutdown=5,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
    )


def run(
    app: App,
    host: str,
    port: int,
    certificate: str | None,
    key: str | None,
    on_ready: Callable[[int], None],
    proxies: Sequence[str] = (),
) -> None:
    """Serve until interrupted. `on_ready` is told the port."""
    try:
        listening = listen(host, port)
        bound = int(listening.getsockname()[1])
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    config = uvicorn_config(app, host, port, certificate, key, proxies)
    server = uvicorn.Server(config)

    async def serve() -> None:
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        if server.started:
            on_ready(bound)
        await serving

    # The clock's thread waits for the interpreter no longer than this.
    sys.setswitchinterval(0.0005)
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: any that is free. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening
