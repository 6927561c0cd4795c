"""Signing in and out, and tokens."""

import asyncio
import re
from typing import Literal

import fastapi
import msgspec
from fastapi import Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field

from vocal.access import SESSION_S, Principal
from vocal.api import API
from vocal.api.gate import Gate
from vocal.errors import AccessError, UsageError
from vocal.service import COOKIE, Service, session_of


class LoginIn(BaseModel):
    name: str = Field(max_length=200)
    password: str = Field(max_length=1000)


class PrincipalOut(BaseModel):
    name: str
    role: str
    agent: str | None
    team: str | None


class TokenIn(BaseModel):
    name: str = Field(max_length=200)
    role: Literal["agent", "lead", "operator", "ingest"]
    agent: str | None = Field(default=None, max_length=200)
    team: str | None = Field(default=None, max_length=200)
    days: float = Field(default=90, gt=0, le=3650)


class TokenOut(BaseModel):
    token: str


def add_routes(api: fastapi.FastAPI, service: Service, gate: Gate) -> None:
    known = Depends(gate.who)
    operator = Depends(gate.one_of("operator"))

    @api.post(f"{API}/login", tags=["access"])
    async def login(given: LoginIn, request: Request, response: Response) -> PrincipalOut:
        """Sets the session's cookie."""
        gate.limit(service.logins, request)
        try:
            principal = await asyncio.to_thread(service.access.login, given.name, given.password)
        except AccessError as error:
            service.count("login")
            raise HTTPException(401, str(error)) from None
        set_cookie(response, principal)
        return _principal_out(principal)

    @api.get("/login/{code}", include_in_schema=False)
    async def login_link(code: str, request: Request, to: str = "/") -> Response:
        """A one-time link: a session, and on to a page of ours."""
        gate.limit(service.logins, request)
        try:
            principal = service.access.redeem(code)
        except AccessError:
            service.count("login")
            return HTMLResponse("<!doctype html><title>Vocal</title><p>This link was used or has expired.", 403)
        local = to if re.fullmatch(r"/[A-Za-z0-9._~/?&=%-]*", to) and not to.startswith("//") else "/"
        response = RedirectResponse(local, 303)
        set_cookie(response, principal)
        return response

    def set_cookie(response: Response, principal: Principal) -> None:
        token = service.access.issue(principal)
        response.set_cookie(
            COOKIE, token, max_age=int(SESSION_S), httponly=True, samesite="lax", secure=service.is_tls, path="/"
        )

    @api.post(f"{API}/logout", tags=["access"], status_code=204)
    async def logout(request: Request) -> Response:
        if (cookie := session_of(request.scope)) is not None:
            service.access.revoke(cookie)
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, path="/")
        return response

    @api.get(f"{API}/me", tags=["access"])
    async def me(principal: Principal = known) -> PrincipalOut:
        return _principal_out(principal)

    @api.post(f"{API}/tokens", tags=["access"])
    async def new_token(given: TokenIn, _: Principal = operator) -> TokenOut:
        """An API token; it is shown this once."""
        principal = Principal(given.name, given.role, given.agent, given.team)
        try:
            return TokenOut(token=service.access.issue(principal, "token", given.days * 86400.0))
        except UsageError as error:
            raise HTTPException(422, str(error)) from None


def _principal_out(principal: Principal) -> PrincipalOut:
    return PrincipalOut(**msgspec.structs.asdict(principal))
