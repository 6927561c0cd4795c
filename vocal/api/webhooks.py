"""How the endpoints of webhooks are. Their secrets are told to nobody."""

from typing import Any

import fastapi
import msgspec
from fastapi import Depends

from vocal.access import Principal
from vocal.api import API
from vocal.api.gate import Gate
from vocal.service import Service


def add_routes(api: fastapi.FastAPI, service: Service, gate: Gate) -> None:
    operator = Depends(gate.one_of("operator"))

    @api.get(f"{API}/webhooks", tags=["operation"])
    async def webhooks(_: Principal = operator) -> list[dict[str, Any]]:
        """Who is told of calls by webhook, what waits for them, and what became of the newest try."""
        built: list[dict[str, Any]] = msgspec.to_builtins(service.webhooks.status())
        return built
