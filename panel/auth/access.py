"""Authorization: what a token or the admin key allows a request to do.

A token is a JWT (RFC 7519) that the test platform's backend signs for one viewer, with these claims:

    exp       expiry time (required)
    traces    the traceIds that it gives access to; ["*"] means all
    scope     words of: read download write ("read" if absent)
    origin    the page that may use it (any of the configured origins if absent)

HS256 with the shared secret, or EdDSA (Ed25519) with the platform's own key pair.
"""

import dataclasses
import hashlib
import hmac
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jwt

from tracetail.contract.access import needs_secret
from tracetail.contract.identity import InvalidIdError, check_id
from tracetail.contract.secret_file import SecretFile, SecretFileError
from tracetail.panel.settings import PanelSettings

READ = "read"
DOWNLOAD = "download"
WRITE = "write"
ADMIN = "admin"
SCOPES = (READ, DOWNLOAD, WRITE)
EVERY_TRACE = "*"
SECRET_MIN_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key must be at least as long as the hash."""
ADMIN_KEY_MIN_BYTES = 16
CLOCK_LEEWAY_SECONDS = 60.0
"""By how much the clock of the platform that signs a token may be ahead of this one's."""
_UNCHECKED = ("verify_aud", "verify_iss", "verify_sub", "verify_iat", "verify_nbf")
"""Claims that PyJWT does not check here: iat and nbf because its leeway would hold for exp, too."""


class AccessError(Exception):
    """A request is not allowed (403); code and message are sent to the client."""

    status = 403

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NoValidTokenError(AccessError):
    """The token is missing, invalid or expired (401)."""

    status = 401


@dataclass(frozen=True, slots=True)
class Grant:
    """What a request is allowed to do."""

    scopes: frozenset[str]
    traces: frozenset[str] | None
    """The traceIds it may access; None: every trace."""
    expires_at: float | None = None
    """Seconds since the epoch; None: never."""
    origin: str | None = None
    holder: str = ""
    """A digest of the token, by which its open streams are counted; "" for the admin key and without keys."""

    def require(self, scope: str) -> None:
        """Raise AccessError unless the grant has this scope."""
        if scope not in self.scopes:
            raise AccessError("scope_missing", f"the token does not have the scope {scope!r}")

    def allows(self, trace_id: str) -> bool:
        """Return whether the grant is for this trace."""
        return self.traces is None or trace_id in self.traces

    def require_trace(self, trace_id: str) -> None:
        """Raise AccessError unless the grant is for this trace."""
        if not self.allows(trace_id):
            raise AccessError("trace_not_allowed", "the token is not for this trace")

    def seconds_left(self) -> float | None:
        """Return the seconds until the grant expires; None if it does not."""
        return None if self.expires_at is None else self.expires_at - time.time()


EVERYTHING = Grant(frozenset({*SCOPES, ADMIN}), None)


class Keys:
    """The secrets of the configuration; their files are read at each use."""

    def __init__(self, settings: PanelSettings, shared_secret: str = "") -> None:
        """Read the files.

        shared_secret: path of the installation's secret, which opens everything as admin_key_file does, and signs
        tokens where there is no secret_file; "" for none. Raises SecretFileError.
        """
        self._shared = SecretFile("the shared secret", shared_secret, min_bytes=SECRET_MIN_BYTES)
        self._secret = SecretFile("panel.secret_file", settings.secret_file, min_bytes=SECRET_MIN_BYTES)
        self._public_key = SecretFile("panel.public_key_file", settings.public_key_file)
        self._admin_key = SecretFile("panel.admin_key_file", settings.admin_key_file, min_bytes=ADMIN_KEY_MIN_BYTES)

    @property
    def exist(self) -> bool:
        """Whether any key is configured. Without one every request is allowed, but only from this machine."""
        return self.configured or bool(self._shared.value)

    @property
    def configured(self) -> bool:
        """Whether a key of the panel's own is configured."""
        return bool(self._secret.value or self._public_key.value or self._admin_key.value)

    @property
    def _signing(self) -> bytes:
        """The secret that signs tokens."""
        return self._secret.value or self._shared.value

    def grant(self, authorization: str | None) -> Grant:
        """Return the grant of an Authorization header. Raises NoValidTokenError."""
        if not self.exist:
            return EVERYTHING
        if authorization is None:
            raise NoValidTokenError("token_missing", self._how_to_ask())
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token:
            raise NoValidTokenError("token_invalid", "the Authorization header is not of the form: Bearer …")
        for key in (self._admin_key.value, self._shared.value):
            if key and hmac.compare_digest(token.encode(errors="surrogateescape"), key):
                return EVERYTHING
        return self._verified(token.strip())

    def _how_to_ask(self) -> str:
        if self._shared.path and not self.configured:
            return needs_secret("the panel", "panel.admin_key_file") + "; or a token that `tracetail token` prints"
        return "send a token: Authorization: Bearer …"

    def _verified(self, token: str) -> Grant:
        options: Any = {"require": ["exp"], **dict.fromkeys(_UNCHECKED, False)}
        try:
            algorithm = jwt.get_unverified_header(token).get("alg")
            # One key per algorithm, so that a public key is never used to verify an HMAC.
            key = {"HS256": self._signing, "EdDSA": self._public_key.value}.get(str(algorithm))
            if not key:
                raise NoValidTokenError("token_invalid", f"tokens signed with {algorithm} are not accepted here")
            claims = jwt.decode(token, key, algorithms=[str(algorithm)], options=options)
            _check_begin(claims)
            return dataclasses.replace(_grant_of(claims), holder=hashlib.sha256(token.encode()).hexdigest())
        except jwt.ExpiredSignatureError as error:
            raise NoValidTokenError("token_expired", "the token has expired") from error
        except (jwt.InvalidTokenError, jwt.InvalidKeyError, ValueError, TypeError, OverflowError) as error:
            raise NoValidTokenError("token_invalid", f"the token is not valid: {error}") from error

    def mint(
        self,
        traces: Iterable[str],
        *,
        scopes: Iterable[str] = (READ,),
        seconds: int,
        origin: str | None = None,
        now: float | None = None,
    ) -> str:
        """Return a signed token. Raises ValueError if an argument is not valid, SecretFileError without a secret."""
        secret = self._signing
        if not secret:
            raise SecretFileError("panel.secret_file is not set: tokens are signed with it")
        wanted = list(traces)
        if not wanted:
            raise ValueError("a token needs at least one traceId")
        for trace_id in wanted:
            if trace_id != EVERY_TRACE:
                check_id("traceId", trace_id)
        words = list(scopes)
        for word in words:
            if word not in SCOPES:
                raise ValueError(f"scope {word!r} is not one of {', '.join(SCOPES)}")
        issued = int(time.time() if now is None else now)
        claims: dict[str, Any] = {
            "iat": issued,
            "exp": issued + seconds,
            "traces": wanted,
            "scope": " ".join(words),
        }
        if origin:
            claims["origin"] = origin
        return jwt.encode(claims, secret, algorithm="HS256")


@dataclass(frozen=True, slots=True)
class Credential:
    """What opened a request; a secret may be rotated while its answer, a live stream, goes on."""

    keys: Keys
    authorization: str | None

    def is_valid(self) -> bool:
        """Return whether it would still open the request."""
        try:
            self.keys.grant(self.authorization)
        except AccessError:
            return False
        return True


def _check_begin(claims: dict[str, Any]) -> None:
    """Raise NoValidTokenError for a token of the future; clocks may differ by CLOCK_LEEWAY_SECONDS."""
    for name in ("iat", "nbf"):
        begin = claims.get(name, 0)
        if isinstance(begin, bool) or not isinstance(begin, int | float):
            raise NoValidTokenError("token_invalid", f"the claim `{name}` must be a number")
        if begin > time.time() + CLOCK_LEEWAY_SECONDS:
            raise NoValidTokenError("token_invalid", f"the token is not valid yet (`{name}`): compare the clocks")


def _grant_of(claims: dict[str, Any]) -> Grant:
    traces = claims.get("traces")
    if not isinstance(traces, list) or not all(isinstance(trace_id, str) for trace_id in traces):
        raise NoValidTokenError("token_invalid", "the claim `traces` must be a list of traceIds")
    scope = claims.get("scope", READ)
    origin = claims.get("origin")
    if not isinstance(scope, str) or not (origin is None or isinstance(origin, str)):
        raise NoValidTokenError("token_invalid", "the claims `scope` and `origin` must be strings")
    return Grant(
        frozenset(word for word in scope.split() if word in SCOPES),
        None if EVERY_TRACE in traces else frozenset(_valid(traces)),
        float(claims["exp"]),
        origin,
    )


def _valid(traces: list[str]) -> Iterable[str]:
    for trace_id in traces:
        try:
            yield check_id("traceId", trace_id)
        except InvalidIdError as error:
            raise NoValidTokenError("token_invalid", str(error)) from error
