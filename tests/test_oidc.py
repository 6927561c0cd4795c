"""Signing in by OpenID Connect, against a provider over real sockets: who gets in, and everyone who must not."""

import base64
import hmac
import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from provider import CLIENT, SECRET, Claims, OpenIdProvider, open_id_provider
from serving import Served, serving
from test_server import http_

from vocal.access import Principal
from vocal.config import OidcConfig, ServerConfig, load_config
from vocal.errors import ConfigError, LoginError
from vocal.oidc import PENDING_S, Provider

pytestmark = pytest.mark.flaky(reruns=2)

GROUPS: Any = {"cc-leads": "lead", "cc-agents": "agent", "ops": "operator"}


@pytest.fixture
def idp() -> Iterator[OpenIdProvider]:
    with open_id_provider() as provider:
        yield provider


def settings(idp: OpenIdProvider, **more: Any) -> OidcConfig:
    return OidcConfig(issuer=idp.issuer, client_id=CLIENT, client_secret=SECRET, groups=GROUPS, **more)


@pytest.fixture
def served(idp: OpenIdProvider) -> Iterator[Served]:
    with serving(server=ServerConfig(logins_burst=1000.0), oidc=settings(idp, name="Hausdienst")) as running:
        yield running


class Browser:
    """As much of one as a sign-in takes: it follows redirects and keeps cookies."""

    def __init__(self, served: Served, idp: OpenIdProvider) -> None:
        self.served, self.idp = served, idp
        self.cookies: dict[str, str] = {}

    def get(self, path: str) -> tuple[int, str]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection = http.client.HTTPConnection(urlsplit(self.served.url).netloc, timeout=20)
        connection.request("GET", path, headers={"Cookie": cookie})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        for one in answer.headers.get_all("set-cookie", []):
            name, _, value = one.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        return answer.status, answer.getheader("location", "")

    def to_provider(self, to: str = "/agent") -> dict[str, str]:
        status, location = self.get(f"/login/oidc?to={to}")
        assert status == 303
        assert location.startswith(f"{self.idp.url}/authorize?tenant=1&")
        return {key: values[0] for key, values in parse_qs(urlsplit(location).query).items()}

    def sign_in(self, to: str = "/agent") -> str:
        """Where it ends."""
        back = self.idp.authorize(self.to_provider(to))
        assert back.startswith(f"{self.served.url}/login/oidc/callback?")
        status, location = self.get(back.removeprefix(self.served.url))
        assert status == 303
        return location

    def me(self) -> dict[str, Any] | None:
        token = self.cookies.get("vocal_session", "")
        status, _, body = http_(self.served, "GET", "/v1/me", Cookie=f"vocal_session={token}")
        return json.loads(body) if status == 200 else None


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_person_signs_in(served: Served, idp: OpenIdProvider, algorithm: str, method: str) -> None:
    idp.algorithm, idp.methods = algorithm, [method]
    browser = Browser(served, idp)
    assert http_(served, "GET", "/v1/calls")[0] == 401
    assert json.loads(http_(served, "GET", "/v1/login")[2]) == {"password": False, "provider": "Hausdienst"}
    assert browser.sign_in("/agent") == "/agent"
    assert browser.me() == {"name": "Ada", "role": "agent", "agent": "u-17", "team": "Nord", "kept": False}
    # What the provider says of itself and its keys is not asked for each time.
    assert Browser(served, idp).sign_in("//evil.example") == "/"
    assert idp.asked.count("/keys") == 1
    assert idp.asked.count("/.well-known/openid-configuration") == 1


def test_the_first_group_that_fits_says_the_role(served: Served, idp: OpenIdProvider) -> None:
    idp.claims |= {"groups": ["cc-agents", "cc-leads"]}
    browser = Browser(served, idp)
    browser.sign_in()
    assert browser.me() == {"name": "Ada", "role": "lead", "agent": None, "team": "Nord", "kept": False}


def signed_by_another(idp: OpenIdProvider) -> Callable[[Claims], str]:
    other = RSAKey.generate_key(2048, {"kid": "r1"})
    return lambda claims: jwt.encode({"alg": "RS256", "kid": "r1"}, claims, other)


def unsigned(idp: OpenIdProvider) -> Callable[[Claims], str]:
    def sign(claims: Claims) -> str:
        parts = [json.dumps(part).encode() for part in ({"alg": "none", "kid": "r1"}, claims)]
        return ".".join([base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts] + [""])

    return sign


def signed_with_the_public_key(idp: OpenIdProvider) -> Callable[[Claims], str]:
    """An old trick: the key that all know, as if it were a shared secret."""

    def sign(claims: Claims) -> str:
        parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "kid": "r1"}, claims)]
        body = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
        mac = hmac.digest(idp.rsa.as_pem(private=False), body.encode(), "sha256")
        return f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    return sign


def cut_and_changed(idp: OpenIdProvider) -> Callable[[Claims], str]:
    def sign(claims: Claims) -> str:
        header, _, signature = idp._sign(claims).split(".")
        body = json.dumps({**claims, "groups": ["ops"]}).encode()
        return f"{header}.{base64.urlsafe_b64encode(body).rstrip(b'=').decode()}.{signature}"

    return sign


@pytest.mark.parametrize("how", [signed_by_another, unsigned, cut_and_changed, signed_with_the_public_key])
def test_forged_tokens(
    served: Served, idp: OpenIdProvider, how: Callable[[OpenIdProvider], Callable[[Claims], str]]
) -> None:
    idp.sign = how(idp)
    browser = Browser(served, idp)
    assert browser.sign_in() == "/?failed=invalid"
    assert browser.me() is None
    assert served.service.refused["login_invalid"] == 1


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"exp": int(time.time()) - 3600, "iat": int(time.time()) - 7200}, "expired"),
        ({"exp": float("inf")}, "invalid"),
        ({"iat": int(time.time()) + 3600}, "invalid"),
        ({"nbf": int(time.time()) + 3600}, "invalid"),
        ({"nonce": "another"}, "invalid"),
        ({"nonce": None}, "invalid"),
        ({"aud": "another"}, "invalid"),
        ({"aud": ["another", "third"]}, "invalid"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "invalid"),
        ({"iss": "https://another.example"}, "invalid"),
        ({"sub": None}, "invalid"),
        ({"exp": None}, "invalid"),
        ({"groups": ["staff"]}, "nobody"),
        ({"groups": None}, "nobody"),
        ({"groups": {"cc-leads": True}}, "nobody"),
        ({"groups": "cc-leads", "team": ""}, "nobody"),
    ],
)
def test_tokens_that_do_not_hold(served: Served, idp: OpenIdProvider, changed: Claims, why: str) -> None:
    def change(claims: Claims) -> None:
        claims.update(changed)
        for key in [key for key, value in claims.items() if value is None]:
            del claims[key]

    idp.change = change
    browser = Browser(served, idp)
    assert browser.sign_in() == f"/?failed={why}"
    assert browser.me() is None
    assert (
        f'vocal_refused_total{{why="login_{why}"}} 1.0'
        in http_(served, "GET", "/metrics", Authorization=f"Bearer {served.token('operator')}")[2].decode()
    )


def test_an_answer_serves_once_and_only_the_browser_that_asked(served: Served, idp: OpenIdProvider) -> None:
    browser, thief = Browser(served, idp), Browser(served, idp)
    path = idp.authorize(browser.to_provider()).removeprefix(served.url)
    thief.to_provider()
    assert thief.get(path)[1] == "/?failed=stale"
    assert browser.get(path)[1] == "/?failed=stale"  # whoever tries it uses it up
    path = idp.authorize(browser.to_provider()).removeprefix(served.url)
    assert browser.get(path)[1] == "/agent"
    assert browser.get(path)[1] == "/?failed=stale"
    assert Browser(served, idp).get("/login/oidc/callback")[1] == "/?failed=stale"
    assert thief.me() is None


def test_what_providers_do_wrong(served: Served, idp: OpenIdProvider) -> None:
    idp.declines = "access_denied"
    assert Browser(served, idp).sign_in() == "/?failed=declined"
    idp.declines = None
    idp.sign = lambda claims: ""
    assert Browser(served, idp).sign_in() == "/?failed=invalid"
    idp.sign = idp._sign
    idp.token = lambda form, authorization: (500, {"error": "server_error"})  # type: ignore[method-assign]
    assert Browser(served, idp).sign_in() == "/?failed=provider"
    del idp.token  # type: ignore[method-assign]
    assert Browser(served, idp).sign_in() == "/agent"


def test_keys_that_change_are_asked_for_anew(served: Served, idp: OpenIdProvider) -> None:
    assert Browser(served, idp).sign_in() == "/agent"
    idp.rsa = RSAKey.generate_key(2048, {"kid": "r2", "use": "sig"})
    idp.served = [idp.rsa]
    assert Browser(served, idp).sign_in() == "/agent"
    assert idp.asked.count("/keys") == 2


def test_a_provider_that_is_not_there(idp: OpenIdProvider) -> None:
    gone = OidcConfig(issuer="http://127.0.0.1:9", client_id=CLIENT, groups=GROUPS)
    with serving(oidc=gone) as served:
        assert Browser(served, idp).get("/login/oidc?to=/agent") == (303, "/?failed=provider")
        assert http_(served, "GET", "/login/oidc/callback?state=x&code=y")[1]["location"] == "/?failed=stale"
        assert http_(served, "GET", "/v1/calls")[0] == 401
    with serving() as served:
        assert http_(served, "GET", "/login/oidc")[0] == 404
        assert json.loads(http_(served, "GET", "/v1/login")[2]) == {"password": False, "provider": None}


def test_a_provider_that_is_another(idp: OpenIdProvider) -> None:
    provider = Provider(settings(idp))
    idp.issuer = "https://another.example"
    with pytest.raises(LoginError, match="calls itself 'https://another"):
        provider.begin("/", "http://localhost/login/oidc/callback")
    idp.issuer = idp.url
    idp.about = lambda: {"issuer": idp.url, "authorization_endpoint": "javascript:alert(1)"}  # type: ignore[method-assign]
    with pytest.raises(LoginError, match="authorization_endpoint: wanted https"):
        provider.begin("/", "http://localhost/login/oidc/callback")


def test_who_takes_too_long_begins_anew(idp: OpenIdProvider) -> None:
    now = [time.time()]
    provider = Provider(settings(idp), lambda: now[0])
    url, browser = provider.begin("/", "http://localhost/login/oidc/callback")
    query = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
    back = urlsplit(idp.authorize(query)).query
    now[0] += PENDING_S + 1.0
    with pytest.raises(LoginError, match="took too long"):
        provider.finish({key: values[0] for key, values in parse_qs(back).items()}, browser)


def test_claims_in_depth_and_by_other_names(idp: OpenIdProvider) -> None:
    config = settings(
        idp, groups_claim="realm_access.roles", id_claim="staff_number", team_claim="https://x.example/team"
    )
    claims = {"sub": "s", "email": "a@x.example", "realm_access": {"roles": ["cc-agents"]}, "staff_number": "17"}
    claims["https://x.example/team"] = ["Nord", "Süd"]
    assert Provider(config).principal_of(claims) == Principal("a@x.example", "agent", "17", "Nord")
    with pytest.raises(LoginError, match="claim 'staff_number' is missing"):
        Provider(config).principal_of({**claims, "staff_number": None})
    with pytest.raises(LoginError, match=r"is \[\], wanted one of \['cc-leads', 'cc-agents', 'ops'\]"):
        Provider(config).principal_of({"sub": "s", "realm_access": "cc-agents"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"issuer": "http://idp.example"}, "issuer: wanted https://HOST"),
        ({"issuer": "idp.example"}, "issuer: wanted https://HOST"),
        ({"redirect_url": "http://vocal.example/login/oidc/callback"}, "redirect_url: wanted https"),
        ({"client_id": ""}, "wanted client_id"),
        ({"groups": {}}, "wanted groups"),
    ],
)
def test_settings_that_cannot_work_are_said_at_start(given: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"issuer": "https://idp.example", "client_id": CLIENT, "groups": GROUPS}
    Provider(OidcConfig(**good))
    with pytest.raises(ConfigError, match=message):
        Provider(OidcConfig(**{**good, **given}))


def test_settings_from_file_and_environment(tmp_path: Any) -> None:
    path = tmp_path / "vocal.toml"
    path.write_text(
        '[oidc]\nissuer = "https://idp.example"\nclient_id = "vocal"\n[oidc.groups]\n"cc-leads" = "lead"\n', "utf-8"
    )
    config = load_config(path, {"VOCAL_OIDC_CLIENT_SECRET": "hidden"}).oidc
    assert (config.client_secret, config.groups) == ("hidden", {"cc-leads": "lead"})
    path.write_text('[oidc.groups]\n"cc-leads" = "boss"\n', "utf-8")
    with pytest.raises(ConfigError, match="boss"):
        load_config(path, {})
