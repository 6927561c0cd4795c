"""A small OpenID provider on a free port of this machine: it signs whoever comes in, or what a test wants instead."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT, SECRET = "vocal", "s3cret &+"
Claims = dict[str, Any]


class OpenIdProvider:
    def __init__(self, url: str) -> None:
        self.url = url
        self.issuer = url
        self.rsa = RSAKey.generate_key(2048, {"kid": "r1", "use": "sig"})
        self.ec = ECKey.generate_key("P-256", {"kid": "e1", "use": "sig"})
        self.served = [self.rsa, self.ec]
        self.algorithm = "RS256"
        self.claims: Claims = {"sub": "u-17", "name": "Ada", "groups": ["staff", "cc-agents"], "team": "Nord"}
        self.change: Callable[[Claims], None] = lambda claims: None
        self.sign: Callable[[Claims], str] = self._sign
        self.declines: str | None = None
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.methods = ["client_secret_basic"]

    def _sign(self, claims: Claims) -> str:
        key = self.rsa if self.algorithm[0] in "RP" else self.ec
        return jwt.encode({"alg": self.algorithm, "kid": key.kid}, claims, key, [self.algorithm])

    def about(self) -> Claims:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.url}/authorize?tenant=1",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint_auth_methods_supported": self.methods,
        }

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser is sent back to: the person has signed in, as it were."""
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        answer = {"state": query["state"]}
        if self.declines:
            answer["error"] = self.declines
        else:
            answer["code"] = secrets.token_urlsafe(8)
            self.codes[answer["code"]] = query
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, Claims]:
        secret = form.get("client_secret")
        if authorization.startswith("Basic "):
            pair = base64.b64decode(authorization[6:]).decode()
            secret = parse_qs("s=" + pair.partition(":")[2])["s"][0]
        if secret != SECRET:
            return 401, {"error": "invalid_client"}
        query = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if query is None or challenge != query["code_challenge"] or form["redirect_uri"] != query["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now_s = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now_s, "exp": now_s + 300, "nonce": query["nonce"]}
        claims.update(self.claims)
        self.change(claims)
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self.sign(claims)}


@contextmanager
def open_id_provider() -> Iterator[OpenIdProvider]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            provider.asked.append(parts.path)
            if parts.path == "/authorize":
                self.send_response(303)
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                self.send_header("Location", provider.authorize(query))
                self.end_headers()
            elif parts.path == "/keys":
                self._json(200, {"keys": [{"kty": "new"}, *(key.as_dict(private=False) for key in provider.served)]})
            else:
                self._json(200, provider.about())

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {key: values[0] for key, values in parse_qs(body).items()}
            self._json(*provider.token(form, self.headers.get("Authorization", "")))

        def _json(self, status: int, found: Claims) -> None:
            body = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = OpenIdProvider(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
