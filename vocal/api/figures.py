"""How the server is: /metrics for Prometheus, and whether it lives and is ready."""

import fastapi
from fastapi import Depends, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from vocal import __version__
from vocal.access import Principal
from vocal.api.gate import Gate
from vocal.doors.sip import Telephony
from vocal.doors.webrtc import Calling
from vocal.doors.websocket import MediaDoors
from vocal.service import Service


def add_routes(
    api: fastapi.FastAPI, service: Service, calling: Calling, media: MediaDoors, telephony: Telephony, gate: Gate
) -> None:
    operator = Depends(gate.one_of("operator"))
    registry = CollectorRegistry()
    registry.register(Figures(service, calling, media, telephony))

    @api.get("/metrics", tags=["operation"])
    async def metrics(_: Principal = operator) -> Response:
        """For Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @api.get("/healthz", tags=["operation"])
    async def healthz() -> dict[str, str]:
        """Whether the server lives."""
        return {"status": "alive", "version": __version__}

    @api.get("/readyz", tags=["operation"])
    async def readyz() -> JSONResponse:
        """Whether it takes calls: 503 until then. `store` says whether what is to be kept is: calls go on without."""
        said: dict[str, object] = {"status": "ready" if service.is_ready else "starting"}
        if service.store is not None:
            state = service.store.state()
            is_behind = state.error is not None or state.behind_s > BEHIND_S
            said["store"] = {
                "status": "behind" if is_behind else "kept",
                "behind_s": round(state.behind_s, 1),
                "waiting": state.waiting,
                "lost": sum(state.lost.values()),
            }
        return JSONResponse(said, 200 if service.is_ready else 503)


BEHIND_S = 5.0


class Figures:
    """Read when they are asked for."""

    def __init__(self, service: Service, calling: Calling, media: MediaDoors, telephony: Telephony) -> None:
        self._service, self._calling, self._media, self._telephony = service, calling, media, telephony

    def collect(self) -> list[Metric]:
        service = self._service
        stats, hub = service.live.stats(), service.hub.stats
        gauges = {
            "vocal_calls": ("Open calls", stats.calls),
            "vocal_channels": ("Channels of open calls", stats.channels),
            "vocal_tick_mean_ms": ("Cost of a tick of 20 ms, mean of the last 10 s", stats.tick_mean_ms),
            "vocal_tick_p99_ms": ("Cost of a tick of 20 ms, 99th percentile of the last 10 s", stats.tick_p99_ms),
            "vocal_clock_urgent": ("1: the clock's threads go before all others of the machine", stats.is_urgent),
            "vocal_emotion_busy": ("Share of the last 10 s in which the emotion model was at work", stats.emotion_busy),
            "vocal_readers": ("Connections to the live events", hub.readers),
        }
        counters = {
            "vocal_ticks": ("Ticks of 20 ms", stats.ticks),
            "vocal_late_ticks": ("Ticks that came a tick or more late, and were caught up", stats.late_ticks),
            "vocal_skipped_ticks": ("Ticks that were not caught up", stats.skipped_ticks),
            "vocal_failed_ticks": ("Ticks that a defect cut short", stats.failed_ticks),
            "vocal_refused_calls": ("Calls that the machine did not carry", stats.refused_calls),
            "vocal_timed_out_calls": ("Calls on which nothing came any more", stats.timed_out_calls),
            "vocal_refused_estimates": ("Estimates not asked for, as the model was behind", stats.refused_estimates),
            "vocal_events": ("Events told", hub.events),
            "vocal_too_slow_readers": ("Readers that were too slow and had to come back", hub.too_slow),
        }
        found: list[Metric] = [GaugeMetricFamily(name, text, value=value) for name, (text, value) in gauges.items()]
        found += [CounterMetricFamily(name, text, value=value) for name, (text, value) in counters.items()]
        lost = CounterMetricFamily("vocal_lost_events", "Events that slow readers were not told", labels=["kind"])
        lost.add_metric(["levels"], hub.lost_levels)
        lost.add_metric(["mood"], hub.lost_mood)
        refused = CounterMetricFamily("vocal_refused", "Requests and connections refused, by why", labels=["why"])
        for why, count in sorted(service.refused.items()):
            refused.add_metric([why], count)
        cues = CounterMetricFamily("vocal_cue_feedback", "What agents said of cues", labels=["cue", "answer"])
        for (cue, helpful), count in service.answers.counts().items():
            cues.add_metric([cue, "helpful" if helpful else "does_not_fit"], count)
        return [
            *found,
            lost,
            refused,
            cues,
            *self._webhooks(),
            *self._webrtc(),
            *self._sip(),
            self._dialects(),
            *self._playouts(),
            *self._store(),
        ]

    def _store(self) -> list[Metric]:
        if self._service.store is None:
            return []
        state = self._service.store.state()
        gauges = {
            "vocal_store_waiting": ("Events that are not on the disk yet", state.waiting),
            "vocal_store_behind_s": ("Age of the oldest of them", state.behind_s),
            "vocal_store_failing": ("1 while the store cannot be written", float(state.error is not None)),
        }
        counters = {
            "vocal_store_events": ("Events on the disk", state.written),
            "vocal_store_failures": ("Tries to write that failed", state.failures),
            "vocal_store_calls": ("Calls that were filed", state.calls),
            "vocal_store_interrupted_calls": ("Of them those that a server's end cut short", state.interrupted),
            "vocal_store_unreadable_calls": ("Calls that a defect kept from being filed", state.unreadable),
            "vocal_store_cut_bytes": ("Torn ends of the log, found at the start", state.cut_bytes),
            "vocal_store_damaged_batches": ("Batches of the log whose checksum was wrong", state.damaged_batches),
        }
        lost = CounterMetricFamily("vocal_store_lost_events", "Events that could not be kept", labels=["kind"])
        for kind, count in sorted(state.lost.items()):
            lost.add_metric([kind], count)
        found: list[Metric] = [GaugeMetricFamily(name, text, value=value) for name, (text, value) in gauges.items()]
        found += [CounterMetricFamily(name, text, value=value) for name, (text, value) in counters.items()]
        return [*found, lost]

    def _webhooks(self) -> list[Metric]:
        now = GaugeMetricFamily("vocal_webhooks_waiting", "Events that wait for an endpoint", labels=["endpoint"])
        open_ = GaugeMetricFamily("vocal_webhooks_open", "0: the endpoint wants no more (410)", labels=["endpoint"])
        for one in self._service.webhooks.status():
            now.add_metric([one.name], one.waiting)
            open_.add_metric([one.name], one.state == "open")
        since = CounterMetricFamily("vocal_webhooks", "What became of events to endpoints", labels=["endpoint", "what"])
        for labels, count in sorted(self._service.webhooks.counts.items()):
            since.add_metric(labels, count)
        return [now, open_, since]

    def _webrtc(self) -> list[Metric]:
        now = GaugeMetricFamily("vocal_webrtc_sessions", "WebRTC connections, by state", labels=["state"])
        for state, count in self._calling.states().items():
            now.add_metric([state], count)
        since = CounterMetricFamily("vocal_webrtc", "What became of WebRTC connections and packets", labels=["what"])
        for what, count in self._calling.counts.items():
            since.add_metric([what], count)
        return [now, since]

    def _sip(self) -> list[Metric]:
        now = GaugeMetricFamily("vocal_sip_now", "SIP legs, dialogs and connections", labels=["what"])
        for what, count in self._telephony.now().items():
            now.add_metric([what], count)
        since = CounterMetricFamily("vocal_sip", "What became of SIP messages and calls", labels=["what"])
        for what, count in self._telephony.since().items():
            since.add_metric([what], count)
        return [now, since]

    def _dialects(self) -> Metric:
        since = CounterMetricFamily(
            "vocal_media", "What became of media connections, by dialect", labels=["dialect", "what"]
        )
        for labels, count in sorted(self._media.counts.items()):
            since.add_metric(labels, count)
        return since

    def _playouts(self) -> list[Metric]:
        sums = dict.fromkeys(("received", "lost", "late", "duplicate", "reordered"), 0)
        for state in self._service.live.calls():
            for counts in state.playouts:
                for name in sums:
                    sums[name] += getattr(counts, name) if counts is not None else 0
        packets = GaugeMetricFamily("vocal_packets", "Packets of the calls that are open", labels=["what"])
        for name, count in sums.items():
            packets.add_metric([name], count)
        return [packets]
