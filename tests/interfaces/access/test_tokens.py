"""Which tokens are believed. The issuer is a real one, that publishes its keys over HTTP."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from interfaces.access.caller import Caller, Clearance, Scope
from interfaces.access.tokens import (
    FetchedKeys,
    InvalidToken,
    KeysUnavailable,
    Tokens,
    TrustedIssuer,
)
from tests.interfaces.access.issuing import Issuer, ec_key, issuing


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as serving:
        yield serving


@pytest.fixture(scope="module")
def steady() -> Iterator[Issuer]:
    """One whose keys no test changes."""
    with issuing() as serving:
        yield serving


def trusting(issuer: Issuer, *, floor: float = 30.0, **changed: Any) -> Tokens:
    keys = FetchedKeys(issuer.url, changed.pop("jwks", issuer.jwks), floor_seconds=floor)
    told = {"issuer": issuer.url, "audience": "bank", "keys": keys, **changed}
    return Tokens([TrustedIssuer(**told)])


def caller_of(tokens: Tokens, token: str) -> Caller:
    return asyncio.run(tokens.caller_of(token))


def refused(tokens: Tokens, token: str) -> str:
    with pytest.raises(InvalidToken) as invalid:
        caller_of(tokens, token)
    return str(invalid.value)


def test_a_token_says_who_acts_and_what_he_may(steady: Issuer) -> None:
    caller = caller_of(
        trusting(steady), steady.token(scope="openid digitaltwin.read personal.masked")
    )
    assert (caller.subject, caller.client_id) == ("ada", "portal")
    assert caller.scopes == {Scope.READ, Scope.PERSONAL_MASKED}
    assert caller.clearance is Clearance.MASKED


def test_a_token_says_when_it_ends(steady: Issuer) -> None:
    ends = int(time.time()) + 77
    caller = caller_of(trusting(steady), steady.token(exp=ends))
    assert caller.expires_at is not None
    assert caller.expires_at.timestamp() == ends


@pytest.mark.parametrize(
    ("said", "scopes"),
    [
        ({"scope": None}, set()),
        ({"scope": "unheard.of digitaltwin.reads"}, set()),
        ({"scope": None, "scp": ["digitaltwin.read", "x"]}, {Scope.READ}),
        ({"scope": None, "scp": "digitaltwin.read"}, {Scope.READ}),
        ({"scope": 5}, set()),
        ({"scope": [5, None]}, set()),
    ],
)
def test_scopes_that_mean_nothing_here_allow_nothing(
    steady: Issuer, said: dict[str, Any], scopes: set[Scope]
) -> None:
    assert caller_of(trusting(steady), steady.token(**said)).scopes == scopes


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ({"client_id": None, "azp": "app"}, "app"),
        ({"client_id": None}, "ada"),
    ],
)
def test_the_client_has_several_names(steady: Issuer, said: dict[str, Any], client: str) -> None:
    assert caller_of(trusting(steady), steady.token(**said)).client_id == client


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"iss": "https://elsewhere.example"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"iss": ["x"]}, "issuer"),
        ({"aud": "another"}, "audience"),
        ({"aud": None}, "cannot be accepted"),
        ({"aud": ["another", "bank2"]}, "audience"),
        ({"exp": None}, "cannot be accepted"),
        ({"exp": 1_700_000_000}, "expired"),
        ({"exp": "never"}, "time of expiry"),
        ({"exp": True}, "time of expiry"),
        ({"exp": 10**30}, "expires"),
        ({"nbf": 4_000_000_000}, "first moment"),
        ({"iat": 4_000_000_000}, "time of issue"),
        ({"sub": None}, "cannot be accepted"),
        ({"sub": ""}, "cannot be accepted"),
        ({"sub": 7}, "subject"),
        ({"sub": "two\nlines"}, "whose it is"),
        ({"sub": "x" * 201}, "whose it is"),
        ({"client_id": 7}, "whose it is"),
        ({"typ": "JWT"}, "type"),
        ({"typ": None}, "type"),
        ({"kid": "second"}, "no such key"),
        ({"scope": "x" * 20_000}, "too long"),
    ],
)
def test_what_is_not_for_this_bank_now_is_refused(
    steady: Issuer, said: dict[str, Any], why: str
) -> None:
    assert why in refused(trusting(steady), steady.token(**said))


def test_a_token_for_several_is_for_each_of_them(steady: Issuer) -> None:
    assert caller_of(trusting(steady), steady.token(aud=["another", "bank"])).subject == "ada"


def test_clocks_may_differ_a_little(steady: Issuer) -> None:
    assert caller_of(trusting(steady), steady.token(iat=int(time.time()) + 3)).subject == "ada"


def test_an_issuer_that_calls_its_tokens_otherwise_can_be_told(steady: Issuer) -> None:
    tokens = trusting(steady, token_type="JWT")  # noqa: S106 -- a type
    assert caller_of(tokens, steady.token(typ="JWT")).subject == "ada"
    assert "type" in refused(tokens, steady.token())


def test_the_type_may_be_written_in_full(steady: Issuer) -> None:
    assert caller_of(trusting(steady), steady.token(typ="application/at+JWT")).subject == "ada"


# --- signatures -----------------------------------------------------------------------------------

KINDS = [
    ("ES256", lambda: ECKey.generate_key("P-256", {"kid": "k"})),
    ("ES384", lambda: ECKey.generate_key("P-384", {"kid": "k"})),
    ("RS256", lambda: RSAKey.generate_key(2048, {"kid": "k"})),
    ("PS256", lambda: RSAKey.generate_key(2048, {"kid": "k"})),
    ("Ed25519", lambda: OKPKey.generate_key("Ed25519", {"kid": "k"})),
]


@pytest.mark.parametrize(("algorithm", "make"), KINDS, ids=[name for name, _ in KINDS])
def test_a_signature_of_each_kind_is_believed(issuer: Issuer, algorithm: str, make: Any) -> None:
    issuer.publish(key := make())
    token = issuer.token(key=key, alg=algorithm)
    assert caller_of(trusting(issuer), token).subject == "ada"


def resigned(token: str, header: dict[str, Any], key: OKPKey) -> str:
    """Another header over the same claims, by hand."""
    signed = f"{encoded(json.dumps(header).encode())}.{token.split('.')[1]}"
    private = key.private_key
    assert isinstance(private, Ed25519PrivateKey | Ed448PrivateKey)
    return f"{signed}.{encoded(private.sign(signed.encode()))}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_ed25519_may_be_called_by_its_old_name(issuer: Issuer) -> None:
    issuer.publish(key := OKPKey.generate_key("Ed25519", {"kid": "k"}))
    token = issuer.token(key=key, alg="Ed25519")
    old = resigned(token, {"typ": "at+jwt", "alg": "EdDSA", "kid": "k"}, key)
    assert caller_of(trusting(issuer), old).subject == "ada"


def test_the_old_name_of_ed25519_means_no_other_curve(issuer: Issuer) -> None:
    issuer.publish(key := OKPKey.generate_key("Ed448", {"kid": "k"}))
    token = issuer.token(key=key, alg="Ed448")
    old = resigned(token, {"typ": "at+jwt", "alg": "EdDSA", "kid": "k"}, key)
    assert "signature cannot be checked" in refused(trusting(issuer), old)


def test_a_key_of_the_same_name_that_is_not_the_issuers_does_not_do(steady: Issuer) -> None:
    forged = steady.token(key=ec_key("first"))
    assert "signature is not" in refused(trusting(steady), forged)


def test_an_unsigned_token_is_refused(steady: Issuer) -> None:
    header, claims, _ = steady.token().split(".")
    unsigned = encoded(b'{"typ":"at+jwt","alg":"none","kid":"first"}')
    assert "algorithm" in refused(trusting(steady), f"{unsigned}.{claims}.")
    assert "signature is not" in refused(trusting(steady), f"{header}.{claims}.")


def test_a_public_key_is_no_secret_to_sign_with(steady: Issuer) -> None:
    """The classic confusion: what everybody can read, taken for a key of HMAC."""
    public = steady.key.as_pem(private=False) if isinstance(steady.key, ECKey) else b""
    secret = OctKey.import_key(base64.b64encode(public), {"kid": "first"})
    assert "algorithm" in refused(trusting(steady), steady.token(key=secret, alg="HS256"))


def test_a_published_secret_is_not_a_key(issuer: Issuer) -> None:
    secret = OctKey.generate_key(256, {"kid": "shared"})
    keys = [secret.as_dict(private=True), issuer.key.as_dict(private=False)]
    issuer.say("/keys", {"keys": keys})
    assert "algorithm" in refused(trusting(issuer), issuer.token(key=secret, alg="HS256"))


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_a_short_rsa_key_is_not_believed(issuer: Issuer) -> None:
    short = RSAKey.generate_key(1024, {"kid": "short"})
    issuer.publish(short, issuer.key)
    assert "no such key" in refused(trusting(issuer), issuer.token(key=short, alg="RS256"))


def test_a_key_for_encryption_signs_nothing(issuer: Issuer) -> None:
    issuer.publish(key := ECKey.generate_key("P-256", {"kid": "k", "use": "enc"}))
    signing = ECKey.import_key({**key.as_dict(private=True), "use": "sig"})
    assert "no such key" in refused(trusting(issuer), issuer.token(key=signing))


@pytest.mark.parametrize(
    "another", [{"kty": "EC", "crv": "P-0"}, {"kty": "ML-DSA"}, {}, 5, {"kty": "RSA", "n": 1}]
)
def test_a_key_that_is_not_understood_does_not_hide_the_others(
    issuer: Issuer, another: Any
) -> None:
    issuer.say("/keys", {"keys": [another, issuer.key.as_dict(private=False)]})
    assert caller_of(trusting(issuer), issuer.token()).subject == "ada"


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_token_of_which_anything_was_changed_is_refused(steady: Issuer, part: int) -> None:
    parts = steady.token().split(".")
    middle = len(parts[part]) // 2
    other = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + other + parts[part][middle + 1 :]
    assert refused(trusting(steady), ".".join(parts))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
NAMED = st.sampled_from(["alg", "typ", "kid", "b64", "crit", "iss", "aud", "exp", "jwk"])
PART = st.binary(max_size=30) | (
    JSON
    | st.lists(NAMED, max_size=3)
    | st.dictionaries(NAMED, JSON | st.just(["b64"]) | st.just("ES256"), max_size=6)
).map(lambda said: json.dumps(said).encode())


@given(parts=st.lists(PART.map(encoded), min_size=3, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_it_is_refused_and_nothing_breaks(steady: Issuer, parts: list[str]) -> None:
    refused(trusting(steady), ".".join(parts))


@given(header=st.dictionaries(NAMED, JSON | st.just(["b64"]), max_size=4))
def test_whatever_a_header_says_it_is_refused_and_nothing_breaks(
    steady: Issuer, header: dict[str, Any]
) -> None:
    said = {"typ": "at+jwt", "alg": "ES256", "kid": "first", **header}
    _, claims, signature = steady.token().split(".")
    refused(trusting(steady), f"{encoded(json.dumps(said).encode())}.{claims}.{signature}")


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "a.b.c.d", "é.é.é", "\ud800", "....."])
def test_what_is_no_token_is_refused(steady: Issuer, token: str) -> None:
    assert "no signed JWT" in refused(trusting(steady), token)


# --- where the keys are ---------------------------------------------------------------------------


def test_keys_are_found_by_the_issuers_openid_configuration(issuer: Issuer) -> None:
    assert caller_of(trusting(issuer, jwks=None), issuer.token()).subject == "ada"
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    "said",
    [
        {"issuer": "https://another.example", "jwks_uri": "http://127.0.0.1:1/keys"},
        {"jwks_uri": "http://127.0.0.1:1/keys"},
        {"issuer": "ISSUER"},
        {"issuer": "ISSUER", "jwks_uri": "http://elsewhere.example/keys"},
        {"issuer": "ISSUER", "jwks_uri": "file:///etc/passwd"},
        ["issuer"],
    ],
    ids=range(6),
)
def test_an_openid_configuration_that_leads_astray_is_not_followed(
    issuer: Issuer, said: Any
) -> None:
    named = json.dumps(said).replace("ISSUER", issuer.url)
    issuer.say("/.well-known/openid-configuration", json.loads(named))
    with pytest.raises(KeysUnavailable):
        caller_of(trusting(issuer, jwks=None), issuer.token())


def test_keys_are_fetched_once(issuer: Issuer) -> None:
    tokens = trusting(issuer)
    for _ in range(5):
        caller_of(tokens, issuer.token(jti=str(time.perf_counter())))
    assert issuer.asked == ["/keys"]


def test_a_token_is_checked_once(issuer: Issuer) -> None:
    tokens, token = trusting(issuer), issuer.token()
    assert caller_of(tokens, token) is caller_of(tokens, token)


def test_what_was_found_of_a_token_holds_no_longer_than_it(issuer: Issuer) -> None:
    tokens = trusting(issuer)
    token = issuer.token(exp=int(time.time()) - 3)  # within what clocks may differ
    assert caller_of(tokens, token).subject == "ada"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            caller_of(tokens, token)
        except InvalidToken:
            return
        time.sleep(0.1)
    raise AssertionError("it is still believed")


def test_a_key_that_was_published_since_is_found(issuer: Issuer) -> None:
    tokens = trusting(issuer, floor=0)
    caller_of(tokens, issuer.token())
    issuer.key = ec_key("second")
    issuer.publish(issuer.key)
    assert caller_of(tokens, issuer.token()).subject == "ada"
    assert issuer.asked == ["/keys", "/keys"]


def test_made_up_key_ids_do_not_have_keys_fetched_every_time(issuer: Issuer) -> None:
    tokens = trusting(issuer)
    for number in range(20):
        refused(tokens, issuer.token(key=ec_key(f"made up {number}")))
    assert issuer.asked == ["/keys"]


def test_many_who_come_at_once_have_keys_fetched_once(issuer: Issuer) -> None:
    tokens = trusting(issuer, floor=0)

    async def all_at_once() -> list[Caller]:
        made = [issuer.token(jti=str(number)) for number in range(20)]
        return await asyncio.gather(*(tokens.caller_of(token) for token in made))

    assert len(asyncio.run(all_at_once())) == 20
    assert issuer.asked == ["/keys"]


def test_while_the_issuer_is_away_its_keys_are_believed_on(issuer: Issuer) -> None:
    tokens = trusting(issuer, floor=0)
    caller_of(tokens, issuer.token())
    issuer.fail()
    refused(tokens, issuer.token(key=ec_key("another")))
    assert caller_of(tokens, issuer.token(jti="later")).subject == "ada"
    assert len(issuer.asked) == 2


@pytest.mark.parametrize(
    "said", [None, {}, [], {"keys": []}, {"keys": [{"kty": "EC"}]}, {"keys": 5}, {"keys": [5]}, "x"]
)
def test_without_any_keys_nobody_can_tell(issuer: Issuer, said: Any) -> None:
    issuer.say("/keys", said)
    with pytest.raises(KeysUnavailable):
        caller_of(trusting(issuer), issuer.token())


def test_keys_that_are_far_too_many_are_not_read(issuer: Issuer) -> None:
    issuer.published["/keys"] = b'{"keys": [' + b" " * (1 << 20) + b"]}"
    with pytest.raises(KeysUnavailable):
        caller_of(trusting(issuer), issuer.token())


def test_keys_are_not_looked_for_where_the_issuer_was_not_said_to_be(issuer: Issuer) -> None:
    with issuing() as elsewhere:
        issuer.say("/keys", f"redirect:{elsewhere.jwks}")
        with pytest.raises(KeysUnavailable):
            caller_of(trusting(issuer), issuer.token())
        assert elsewhere.asked == []


STRANGER = ec_key("first")


def by_hand(issuer: Issuer, key: ECKey, **header: Any) -> str:
    """A token with more in its header: what a library refuses to sign, an attacker can."""
    said, payload, _ = issuer.token().split(".")
    whole = {**json.loads(base64.urlsafe_b64decode(said + "==")), **header}
    signed = f"{_base64(json.dumps(whole).encode())}.{payload}"
    private = key.private_key
    assert private is not None
    r, s = decode_dss_signature(private.sign(signed.encode(), ECDSA(SHA256())))
    return f"{signed}.{_base64(r.to_bytes(32) + s.to_bytes(32))}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def test_a_token_that_is_signed_by_hand_is_believed(steady: Issuer) -> None:
    assert isinstance(steady.key, ECKey)
    assert caller_of(trusting(steady), by_hand(steady, steady.key)).subject == "ada"


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["urn:example:unheard-of"], "urn:example:unheard-of": True},
        {"crit": None},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
    ],
)
def test_what_a_token_says_must_be_understood_is_not_passed_over(
    steady: Issuer, header: dict[str, Any]
) -> None:
    """RFC 7515, section 4.1.11; RFC 7797, section 6."""
    assert isinstance(steady.key, ECKey)
    refused(trusting(steady), by_hand(steady, steady.key, **header))


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": STRANGER.as_dict(private=False)},
        {"jku": "http://127.0.0.1:1/keys"},
        {"x5u": "http://127.0.0.1:1/chain"},
    ],
    ids=["jwk", "jku", "x5u"],
)
def test_a_key_that_a_token_brings_itself_is_not_used(
    steady: Issuer, header: dict[str, Any]
) -> None:
    assert "signature" in refused(trusting(steady), by_hand(steady, STRANGER, **header))
