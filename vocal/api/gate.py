"""Who asks, how often, and whether what they ask for is theirs: the answers that all routes share."""

from collections.abc import Callable
from urllib.parse import quote

from fastapi import HTTPException, Request

from vocal.access import AccountRole, Principal, may_see
from vocal.errors import AccessError
from vocal.guard import RateLimit, address
from vocal.service import Service
from vocal.store.reader import StoreReader
from vocal.types import Metadata


class Gate:
    """Each raises HTTPException, and counts what it refused."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def who(self, request: Request) -> Principal:
        try:
            return self._service.principal(request.scope)
        except AccessError as error:
            self._service.count("token")
            raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from None

    def one_of(self, *roles: AccountRole) -> Callable[[Request], Principal]:
        def allowed(request: Request) -> Principal:
            principal = self.who(request)
            if principal.role not in (*roles, "local"):
                self._service.count("role")
                raise HTTPException(403, f"{principal.role}: wanted {' or '.join(roles)}")
            return principal

        return allowed

    def reader(self, *roles: AccountRole) -> Callable[[Request], Principal]:
        """As `one_of`, for pages: who is not signed in is sent there, and comes back."""

        def allowed(request: Request) -> Principal:
            try:
                self._service.principal(request.scope)
            except AccessError:
                there = quote(request.url.path + (f"?{request.url.query}" if request.url.query else ""), safe="")
                raise HTTPException(303, "sign in first", {"Location": f"/?to={there}"}) from None
            return self.one_of(*roles)(request)

        return allowed

    def kept(self) -> StoreReader:
        """What is kept of calls."""
        reader = self._service.reader
        if reader is None:
            raise HTTPException(404, "nothing is kept of calls; wanted vocal serve --store DIR, or [store] folder")
        return reader

    def limit(self, rate: RateLimit, request: Request) -> None:
        if (wait_s := rate.wait_s(address(request.scope))) > 0.0:
            self._service.count("rate")
            raise HTTPException(429, "too many; try again later", {"Retry-After": f"{max(1.0, wait_s):.0f}"})

    def metadata(self, call: str, principal: Principal, test: Callable[[Principal, Metadata], bool]) -> Metadata:
        """A call that is not somebody's to know of is not there for them."""
        metadata = self._service.metadata_of(call)
        if metadata is None:
            raise HTTPException(404, f"no call {call!r}")
        if not (may_see(principal, metadata) or test(principal, metadata)):
            self._service.count("call")
            raise HTTPException(404, f"no call {call!r}")
        if not test(principal, metadata):
            self._service.count("role")
            raise HTTPException(403, f"{principal.role}: may not do this")
        return metadata
