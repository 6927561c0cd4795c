"""Signing in and out, and tokens."""

import asyncio
import re
from typing import Literal

import fastapi
import msgspec
from fastapi import Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from vocal.access import LINK_S, SESSION_S, Kind, Principal
from vocal.api import API
from vocal.api.gate import Gate
from vocal.errors import AccessError, LoginError, UsageError
from vocal.service import COOKIE, LOG, Service, session_of

BROWSER = "vocal_login"
"""By which a browser that comes back from the provider is known as the one that went."""


class LoginIn(BaseModel):
    name: str = Field(max_length=200)
    password: str = Field(max_length=1000)


class PrincipalOut(BaseModel):
    name: str
    role: str
    agent: str | None
    team: str | None


class MeOut(PrincipalOut):
    """kept: whether this server keeps calls, so that there are reports."""

    kept: bool


class WaysOut(BaseModel):
    password: bool
    provider: str | None


class TokenIn(BaseModel):
    name: str = Field(max_length=200)
    role: Literal["agent", "lead", "operator", "ingest"]
    agent: str | None = Field(default=None, max_length=200)
    team: str | None = Field(default=None, max_length=200)
    days: float = Field(default=90, gt=0, le=3650)


class CodeFor(BaseModel):
    name: str = Field(max_length=200)
    role: Literal["agent", "lead"]
    agent: str | None = Field(default=None, max_length=200)
    team: str | None = Field(default=None, max_length=200)


class CodeOut(BaseModel):
    code: str
    path: str
    expires_s: float


class CodeIn(BaseModel):
    code: str = Field(max_length=200)


class SessionOut(BaseModel):
    token: str
    expires_s: float


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

    @api.get(f"{API}/login", tags=["access"])
    async def ways() -> WaysOut:
        """How one may sign in: by name and password, and by a provider, whose name it is."""
        provider = service.provider
        return WaysOut(
            password=service.access.has_accounts, provider=None if provider is None else provider.config.name
        )

    @api.get("/login/oidc", include_in_schema=False)
    async def to_provider(request: Request, to: str = "/") -> Response:
        provider = service.provider
        if provider is None:
            raise HTTPException(404, "wanted [oidc] in the settings: no provider is known")
        gate.limit(service.logins, request)
        scheme = "https" if service.is_tls else "http"
        back = provider.config.redirect_url or f"{scheme}://{request.headers.get('host')}/login/oidc/callback"
        try:
            url, browser = await asyncio.to_thread(provider.begin, _own_page(to), back)
        except LoginError as error:
            return failed(error)
        response = RedirectResponse(url, 303)
        response.set_cookie(
            BROWSER, browser, max_age=600, httponly=True, samesite="lax", secure=service.is_tls, path="/login"
        )
        return response

    @api.get("/login/oidc/callback", include_in_schema=False)
    async def from_provider(request: Request) -> Response:
        provider = service.provider
        if provider is None:
            raise HTTPException(404, "wanted [oidc] in the settings: no provider is known")
        gate.limit(service.logins, request)
        browser = request.cookies.get(BROWSER, "")
        try:
            principal, to = await asyncio.to_thread(provider.finish, dict(request.query_params), browser)
        except LoginError as error:
            response = failed(error)
        else:
            response = RedirectResponse(to, 303)
            set_cookie(response, principal)
        response.delete_cookie(BROWSER, path="/login")
        return response

    @api.get("/login/{code}", include_in_schema=False)
    async def login_link(code: str, request: Request, to: str = "/") -> Response:
        """A one-time link: a session, and on to a page of ours."""
        gate.limit(service.logins, request)
        try:
            principal = service.access.redeem(code)
        except AccessError as error:
            return failed(LoginError("link", str(error)))
        response = RedirectResponse(_own_page(to), 303)
        set_cookie(response, principal)
        return response

    def failed(error: LoginError) -> Response:
        """Back to the sign-in, which says in words what went wrong; why in detail is the operator's to read."""
        service.count(f"login_{error.why}")
        LOG.warning("sign-in: %s", error)
        return RedirectResponse(f"/?failed={error.why}", 303)

    def set_cookie(response: Response, principal: Principal) -> None:
        session(response, service.access.issue(principal), int(SESSION_S))

    def session(response: Response, token: str, lasts_s: int) -> None:
        """Where pages elsewhere may hold ours in a frame, the session is the frame's too, in that site only (CHIPS)."""
        where = "SameSite=None; Secure; Partitioned" if service.is_framed_elsewhere else "SameSite=Lax"
        secure = "; Secure" if service.is_tls and not service.is_framed_elsewhere else ""
        cookie = f"{COOKIE}={token}; HttpOnly; Max-Age={lasts_s}; Path=/; {where}{secure}"
        response.headers.append("set-cookie", cookie)

    @api.post(f"{API}/login/code", tags=["access"])
    async def redeem(given: CodeIn, request: Request) -> SessionOut:
        """A one-time code for a session's token, which a page elsewhere then sends along."""
        gate.limit(service.logins, request)
        try:
            principal = service.access.redeem(given.code)
        except AccessError as error:
            service.count("login")
            raise HTTPException(401, str(error)) from None
        return SessionOut(token=service.access.issue(principal), expires_s=SESSION_S)

    @api.post(f"{API}/codes", tags=["access"])
    async def new_code(given: CodeFor, _: Principal = operator) -> CodeOut:
        """A one-time code for somebody, for a quarter of an hour: for <vocal-agent code=...>, or as a link."""
        code = issue(Principal(given.name, given.role, given.agent, given.team), "link", LINK_S)
        return CodeOut(code=code, path=f"/login/{code}", expires_s=LINK_S)

    @api.post(f"{API}/logout", tags=["access"], status_code=204)
    async def logout(request: Request) -> Response:
        """Ends the session, on this and all pages."""
        if (cookie := session_of(request.scope)) is not None:
            service.access.revoke(cookie)
        response = Response(status_code=204)
        session(response, "", 0)
        return response

    @api.get(f"{API}/me", tags=["access"])
    async def me(principal: Principal = known) -> MeOut:
        """Who asks, as the server knows them."""
        return MeOut(**msgspec.structs.asdict(principal), kept=service.keeps)

    @api.post(f"{API}/tokens", tags=["access"])
    async def new_token(given: TokenIn, _: Principal = operator) -> TokenOut:
        """An API token; it is shown this once."""
        principal = Principal(given.name, given.role, given.agent, given.team)
        return TokenOut(token=issue(principal, "token", given.days * 86400.0))

    def issue(principal: Principal, kind: Kind, lasts_s: float) -> str:
        try:
            return service.access.issue(principal, kind, lasts_s)
        except UsageError as error:
            raise HTTPException(422, str(error)) from None


def _own_page(to: str) -> str:
    return to if re.fullmatch(r"/[A-Za-z0-9._~/?&=%-]*", to) and not to.startswith("//") else "/"


def _principal_out(principal: Principal) -> PrincipalOut:
    return PrincipalOut(**msgspec.structs.asdict(principal))
