"""What an operator does to a store that this server writes to: erasing, with a proof."""

import asyncio
from collections.abc import Collection
from typing import Any

import fastapi
import msgspec
from fastapi import Depends, HTTPException

from vocal.access import Principal
from vocal.api import API
from vocal.api.gate import Gate
from vocal.errors import UsageError
from vocal.service import Service
from vocal.store.erasure import NothingKeptError, What, asked_for, erase


def add_routes(api: fastapi.FastAPI, service: Service, gate: Gate) -> None:
    operator = gate.one_of("operator")

    @api.delete(f"{API}/store/calls/{{call}}", tags=["store"])
    async def erase_call(call: str, principal: Principal = Depends(operator)) -> dict[str, Any]:
        """Takes a call out of log, Parquet and exports; the proof. 404: there is none. 409: it is running."""
        return await erased("call", call, principal)

    @api.delete(f"{API}/store/agents/{{agent}}", tags=["store"])
    async def erase_agent(agent: str, principal: Principal = Depends(operator)) -> dict[str, Any]:
        """The same with all calls of an agent, by the id that calls name or by a pseudonym."""
        return await erased("agent", agent, principal)

    @api.delete(f"{API}/store/sources/{{source:path}}", tags=["store"])
    async def erase_source(source: str, principal: Principal = Depends(operator)) -> dict[str, Any]:
        """The same with all calls from a peer, by its address or its mark."""
        return await erased("source", source, principal)

    async def erased(what: What, name: str, principal: Principal) -> dict[str, Any]:
        store = service.store
        if store is None:
            raise HTTPException(404, "this server keeps nothing")
        if what == "call" and service.live.call(name) is not None:
            raise UsageError(f"call {name!r} is running; wanted one that is over")

        def elsewhere(calls: Collection[str]) -> int:
            return service.answers.forget_calls(calls) + service.webhooks.erase(calls)

        def work() -> dict[str, Any]:
            asked = asked_for(what, name, service.access.pseudonyms, service.answers)
            proof = erase(store, asked, principal.name, service.audit, elsewhere)
            built: dict[str, Any] = msgspec.to_builtins(proof)
            return built

        try:
            proof = await asyncio.to_thread(work)
        except NothingKeptError as error:
            raise HTTPException(404, str(error)) from None
        service.hub.forget(proof["calls"])
        return proof
