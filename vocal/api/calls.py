"""Open calls, and what may be done to them."""

import asyncio
from typing import Any, TypeVar

import fastapi
import msgspec
from fastapi import Depends, HTTPException, Request, Response
from pydantic import BaseModel, Field

from vocal.access import Access, Principal, may_handle, may_see, metadata_for
from vocal.api import API
from vocal.api.gate import Gate
from vocal.guard import address
from vocal.live import CallState
from vocal.service import Service
from vocal.types import AlertsMuted, AlertsSeen, Aside, Basis, Channel, Cue, HelpAnswered, HelpOffered, Metadata, Role

E = TypeVar("E", bound=Aside)


class MetadataIn(BaseModel):
    queue: str | None = Field(default=None, max_length=200)
    touchpoint: str | None = Field(default=None, max_length=200)
    team: str | None = Field(default=None, max_length=200)
    agent: str | None = Field(default=None, max_length=200)
    language: str | None = Field(default=None, max_length=35)
    notice: bool = False
    consent: bool = False


class CallIn(BaseModel):
    call: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    roles: tuple[Role, ...] = Field(default=("agent", "customer"), min_length=1, max_length=2)
    metadata: MetadataIn = MetadataIn()


class EndIn(BaseModel):
    reason: str = Field(default="ended", max_length=200)


class FeedbackIn(BaseModel):
    helpful: bool


class NoticeIn(BaseModel):
    given: bool
    basis: Basis = "notice"


class ReflectionIn(BaseModel):
    score: int = Field(ge=1, le=10)
    text: str = Field(default="", max_length=2000)


class HelpIn(BaseModel):
    text: str = Field(default="", max_length=500)


class WantedIn(BaseModel):
    wanted: bool


class MuteIn(BaseModel):
    seconds: float = Field(default=300.0, ge=0.0, le=3600.0)


def add_routes(api: fastapi.FastAPI, service: Service, gate: Gate) -> None:
    known = Depends(gate.who)
    agent = Depends(gate.one_of("agent"))
    lead = Depends(gate.one_of("lead"))

    @api.get(f"{API}/calls", tags=["calls"])
    async def calls(principal: Principal = known) -> list[dict[str, Any]]:
        """Open calls that are yours to know of."""
        return [
            _call_out(state, principal, service.access)
            for state in service.live.calls()
            if may_see(principal, state.call.metadata)
        ]

    @api.post(f"{API}/calls", tags=["calls"], status_code=201)
    async def new_call(given: CallIn, request: Request, principal: Principal = known) -> dict[str, Any]:
        """Opens a call whose media come by other ways, one for each channel."""
        gate.limit(service.opens, request)
        channels = tuple(Channel(number, role) for number, role in enumerate(given.roles))
        metadata = Metadata(**given.metadata.model_dump())
        opened = service.open_call(principal, "api", address(request.scope), channels, metadata, given.call)
        state = service.live.call(opened.call)
        assert state is not None
        return _call_out(state, principal, service.access)

    @api.get(f"{API}/calls/{{call}}", tags=["calls"])
    async def one_call(call: str, principal: Principal = known) -> dict[str, Any]:
        """A call that is open or ended within ten minutes, with its events as far as they are kept."""
        metadata = gate.metadata(call, principal, may_see)
        state = service.live.call(call)
        view = service.view(principal)
        events = [seen for event in service.hub.events_of(call) if (seen := view(event)) is not None]
        found: dict[str, Any] = {"call": call, "state": "ended"}
        found["metadata"] = msgspec.to_builtins(metadata_for(principal, metadata, service.access))
        if state is not None:
            found = _call_out(state, principal, service.access)
        if principal.role in ("agent", "local"):
            found["feedback"] = service.answers.feedback_of(call)
        return {**found, "events": msgspec.to_builtins(events)}

    @api.post(f"{API}/calls/{{call}}/end", tags=["calls"], status_code=202)
    async def end_call(call: str, given: EndIn | None = None, principal: Principal = known) -> dict[str, str]:
        """Ends a call: its agent, and the systems it came by."""
        gate.metadata(call, principal, may_handle)
        service.live.end(call, (given or EndIn()).reason)
        return {"call": call, "state": "ending"}

    @api.post(f"{API}/calls/{{call}}/notice", tags=["calls"], status_code=202)
    async def notice(call: str, given: NoticeIn, principal: Principal = known) -> dict[str, Any]:
        """The customer was informed, or agreed (`basis` consent); or objects: then nothing more is inferred, and what
        was is deleted at once."""
        gate.metadata(call, principal, may_handle)
        service.live.set_notice(call, given.given, given.basis)
        return {"call": call, "given": given.given, "basis": given.basis}

    @api.post(f"{API}/calls/{{call}}/cues/{{seq}}/feedback", tags=["calls"])
    async def feedback(call: str, seq: int, given: FeedbackIn, principal: Principal = agent) -> dict[str, Any]:
        """Whether a cue (by its `seq`) helped: «hilfreich» or «passt nicht»."""
        gate.metadata(call, principal, may_see)
        cue = next((cue for cue in service.hub.cues_of(call) if cue.seq == seq and _is_for(principal, cue)), None)
        if cue is None:
            raise HTTPException(404, f"call {call!r} has no cue {seq}")
        await asyncio.to_thread(service.answers.feedback, call, seq, cue.cue, given.helpful)
        return {"call": call, "seq": seq, "cue": cue.cue, "helpful": given.helpful}

    @api.post(f"{API}/calls/{{call}}/reflection", tags=["calls"])
    async def reflection(call: str, given: ReflectionIn, principal: Principal = agent) -> dict[str, Any]:
        """How the call felt to its agent, 1 to 10. It is the agent's own: only they can read it."""
        metadata = gate.metadata(call, principal, may_see)
        await asyncio.to_thread(service.answers.reflect, call, metadata.agent, given.score, given.text)
        return {"call": call, "score": given.score}

    @api.get(f"{API}/calls/{{call}}/reflection", tags=["calls"])
    async def own_reflection(call: str, principal: Principal = agent) -> dict[str, Any]:
        """What the agent said of a call."""
        for one in service.answers.reflections(author(call, principal)):
            if one.call == call:
                return msgspec.structs.asdict(one)
        raise HTTPException(404, f"call {call!r} has no reflection")

    @api.delete(f"{API}/calls/{{call}}/reflection", tags=["calls"], status_code=204)
    async def no_reflection(call: str, principal: Principal = agent) -> Response:
        """The agent takes it back."""
        if not await asyncio.to_thread(service.answers.take_back, call, author(call, principal)):
            raise HTTPException(404, f"call {call!r} has no reflection")
        return Response(status_code=204)

    @api.get(f"{API}/reflections", tags=["calls"])
    async def own_reflections(principal: Principal = agent) -> list[dict[str, Any]]:
        """All of an agent's own that are still kept, the newest first."""
        return [msgspec.structs.asdict(one) for one in service.answers.reflections(principal.agent)]

    def author(call: str, principal: Principal) -> str | None:
        """Whose reflection of a call is asked for: one's own; this machine's user stands for the call's agent."""
        metadata = service.metadata_of(call) if principal.role == "local" else None
        return principal.agent if metadata is None else metadata.agent

    @api.post(f"{API}/calls/{{call}}/help", tags=["calls"], status_code=202)
    async def offer_help(call: str, given: HelpIn, principal: Principal = lead) -> dict[str, str]:
        """A coach offers help: the agent's page shows it, and the coach does not learn who that is."""
        gate.metadata(call, principal, may_see)
        service.take([HelpOffered(call=call, at_s=clock_of(call), text=given.text)])
        return {"call": call}

    @api.post(f"{API}/calls/{{call}}/help/answer", tags=["calls"], status_code=202)
    async def answer_help(call: str, given: WantedIn, principal: Principal = agent) -> dict[str, Any]:
        """Whether the agent wants the help that was offered last. The coach learns that, and not who it is."""
        gate.metadata(call, principal, may_see)
        at_s = clock_of(call)
        if newest(call, HelpOffered) is None:
            raise HTTPException(409, f"call {call!r} was offered no help")
        service.take([HelpAnswered(call=call, at_s=at_s, wanted=given.wanted)])
        return {"call": call, "wanted": given.wanted}

    @api.post(f"{API}/calls/{{call}}/cues/{{seq}}/seen", tags=["calls"], status_code=202)
    async def alerts_seen(call: str, seq: int, principal: Principal = lead) -> dict[str, Any]:
        """A coach acknowledges an alert (by its `seq`) and those before it: the whole team's walls know it."""
        gate.metadata(call, principal, may_see)
        if not any(cue.seq == seq and cue.audience == "coach" for cue in service.hub.cues_of(call)):
            raise HTTPException(404, f"call {call!r} has no alert {seq}")
        at_s = clock_of(call)
        before = newest(call, AlertsSeen)
        if before is None or before.last < seq:
            service.take([AlertsSeen(call=call, at_s=at_s, last=seq, by=_coach(principal))])
        return {"call": call, "last": seq if before is None else max(seq, before.last)}

    @api.post(f"{API}/calls/{{call}}/mute", tags=["calls"], status_code=202)
    async def alerts_muted(call: str, given: MuteIn | None = None, principal: Principal = lead) -> dict[str, Any]:
        """No alerts of a call for so many seconds, on the whole team's walls; 0: alerts again."""
        gate.metadata(call, principal, may_see)
        at_s = clock_of(call)
        until_s = round(at_s + (given or MuteIn()).seconds, 2)
        service.take([AlertsMuted(call=call, at_s=at_s, until_s=until_s, by=_coach(principal))])
        return {"call": call, "until_s": until_s}

    def clock_of(call: str) -> float:
        at_s = service.hub.at_s(call)
        if at_s is None:
            raise HTTPException(409, f"call {call!r} has ended")
        return round(at_s, 2)

    def newest(call: str, kind: type[E]) -> E | None:
        return next((one for one in reversed(service.hub.events_of(call)) if isinstance(one, kind)), None)


def _coach(principal: Principal) -> str:
    return principal.name if principal.role == "lead" else ""


def _is_for(principal: Principal, cue: Cue) -> bool:
    return principal.role == "local" or cue.audience == "agent"


def _call_out(state: CallState, principal: Principal, access: Access) -> dict[str, Any]:
    call = state.call
    own = principal.role != "lead"
    return {
        "call": call.call,
        "state": state.state,
        "at_s": round(state.at_s, 2),
        "started_at": call.started_at,
        "transport": call.transport,
        "source": call.source if own else "",
        "channels": msgspec.to_builtins(call.channels),
        "metadata": msgspec.to_builtins(metadata_for(principal, call.metadata, access)),
        "playouts": msgspec.to_builtins(state.playouts) if own else [],
    }
