"""A server on a free port of this machine, in a thread of its own, for tests with real sockets."""

import asyncio
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from vocal.access import Access, Principal
from vocal.answers import Answers
from vocal.audit import Audit
from vocal.client import Client
from vocal.config import (
    Config,
    LiveConfig,
    MediaConfig,
    OidcConfig,
    PlayoutConfig,
    PrivacyConfig,
    RtpConfig,
    ServerConfig,
    SipConfig,
    WebhooksConfig,
    WebrtcConfig,
)
from vocal.emotion import EmotionModel
from vocal.live import Live
from vocal.running import listen, uvicorn_config
from vocal.server import build_app
from vocal.service import Service

# Fast clocks make a machine's short breaks long: what is played waits for longer.
PATIENT = PlayoutConfig(stream_lag_ms=5000.0)


Certificate = tuple[str, str]
"""The files of a certificate and its key."""


class Served:
    def __init__(self, service: Service, url: str) -> None:
        self.service = service
        self.url = url

    def client(self, token: str | None = None) -> Client:
        return Client(self.url, token, ssl._create_unverified_context() if self.url.startswith("https") else None)

    def token(self, role: str, agent: str | None = None, team: str | None = None) -> str:
        principal = Principal(f"{role}-{agent or team}", role, agent, team)  # type: ignore[arg-type]
        return self.service.access.issue(principal, "token")

    def wait_until(self, what: object, seconds: float = 10.0) -> None:
        assert callable(what)
        until = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < until, "it did not happen"
            time.sleep(0.01)


@contextmanager
def serving(
    speed: float = 1.0,
    server: ServerConfig | None = None,
    live: LiveConfig | None = None,
    playout: PlayoutConfig = PATIENT,
    access: Access | None = None,
    store: object = None,
    webrtc: WebrtcConfig | None = None,
    media: MediaConfig | None = None,
    answers: Answers | None = None,
    oidc: OidcConfig | None = None,
    sip: SipConfig | None = None,
    rtp: RtpConfig | None = None,
    privacy: PrivacyConfig | None = None,
    audit: Audit | None = None,
    certificate: Certificate | None = None,
    webhooks: WebhooksConfig | None = None,
) -> Iterator[Served]:
    config = Config(
        server=server or ServerConfig(),
        oidc=oidc or OidcConfig(),
        live=live or LiveConfig(),
        playout=playout,
        webrtc=webrtc or WebrtcConfig(),
        media=media or MediaConfig(),
        sip=sip or SipConfig(),
        rtp=rtp or RtpConfig(first_port=0),
        webhooks=webhooks or WebhooksConfig(),
        privacy=privacy or PrivacyConfig(),
    )
    emotion = EmotionModel()
    service = Service(
        config,
        access,
        lambda sink: Live(sink, config, emotion, speed=speed),
        store,  # type: ignore[arg-type]
        is_tls=certificate is not None or bool(config.server.proxies),
        answers=answers,
        audit=audit,
    )
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    settings = uvicorn_config(
        build_app(service), "127.0.0.1", port, *(certificate or (None, None)), config.server.proxies
    )
    running = uvicorn.Server(settings)

    def run() -> None:
        with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
            runner.run(running.serve([listening]))

    thread = threading.Thread(target=run, name="server")
    thread.start()
    try:
        until = time.monotonic() + 90.0
        while not running.started:
            assert thread.is_alive()
            assert time.monotonic() < until
            time.sleep(0.02)
        yield Served(service, f"{'https' if certificate else 'http'}://127.0.0.1:{port}")
    finally:
        running.should_exit = True
        thread.join(30.0)
        listening.close()
    assert not thread.is_alive()
    assert service.live.stats().failed_ticks == 0
