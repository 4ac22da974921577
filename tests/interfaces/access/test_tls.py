"""Whom TLS lets in, by real handshakes over a real socket."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from starlette.responses import Response

from interfaces.access.tls import server_context
from interfaces.guard import Guard
from interfaces.origins import Origins
from interfaces.settings import InvalidSettings, Settings


class Authority:
    """Signs certificates, which are put into a folder with their keys."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = new_key(SECP256R1())
        self.file = self._written(name, self._signed(self._name, self._key, is_authority=True))

    def certify(self, name: str) -> tuple[Path, Path]:
        """The files of a certificate for 127.0.0.1 and of its key."""
        key = new_key(SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signed = self._signed(subject, key, is_authority=False)
        return self._written(name, signed), self._written(f"{name}.key", private(key))

    def _signed(
        self, subject: x509.Name, key: EllipticCurvePrivateKey, *, is_authority: bool
    ) -> bytes:
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), False
            )
            .sign(self._key, SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def _written(self, name: str, content: bytes) -> Path:
        path = self._folder / f"{name}.pem"
        path.write_bytes(content)
        return path


def private(
    key: EllipticCurvePrivateKey,
    encryption: serialization.KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )


@pytest.fixture
def bank(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "bank")


def speaking_tls(bank: Authority, clients: Path | None = None) -> Settings:
    certificate, key = bank.certify("server")
    return Settings(
        home=Path("/h"), tls_certificate=certificate, tls_key=key, tls_client_ca=clients
    )


@contextmanager
def answering(settings: Settings) -> Iterator[Callable[[ssl.SSLContext], bytes]]:
    """Somebody who says hello to whom TLS lets in, and how to be greeted by him."""
    context = server_context(settings)
    assert context is not None
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as known:
                    known.sendall(b"hello")
            except OSError:
                connection.close()

        def greeted(client: ssl.SSLContext) -> bytes:
            with (
                socket.create_connection(listening.getsockname(), 10) as plain,
                client.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
            ):
                return connection.recv(16)

        thread = threading.Thread(target=greet)
        thread.start()
        yield greeted
        thread.join()


def client(bank: Authority, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=bank.file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def test_without_a_certificate_of_its_own_the_bank_speaks_no_tls() -> None:
    assert server_context(Settings(home=Path("/h"))) is None


def test_whoever_trusts_its_authority_is_let_in(bank: Authority) -> None:
    with answering(speaking_tls(bank)) as greeted:
        assert greeted(client(bank)) == b"hello"


def test_whoever_shows_a_certificate_of_the_authority_is_let_in(bank: Authority) -> None:
    with answering(speaking_tls(bank, clients=bank.file)) as greeted:
        assert greeted(client(bank, bank.certify("crm"))) == b"hello"


def test_whoever_shows_no_certificate_is_not_let_in(bank: Authority) -> None:
    with (
        answering(speaking_tls(bank, clients=bank.file)) as greeted,
        pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"),
    ):
        greeted(client(bank))


def test_whoever_shows_a_certificate_of_another_authority_is_not_let_in(
    bank: Authority, tmp_path: Path
) -> None:
    another = Authority(tmp_path, "another")
    with (
        answering(speaking_tls(bank, clients=bank.file)) as greeted,
        pytest.raises(ssl.SSLError, match="UNKNOWN_CA"),
    ):
        greeted(client(bank, another.certify("crm")))


def test_old_versions_are_not_spoken(bank: Authority) -> None:
    context = server_context(speaking_tls(bank))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_certificate_that_is_not_there_is_named(bank: Authority, tmp_path: Path) -> None:
    missing = speaking_tls(bank).model_copy(update={"tls_certificate": tmp_path / "missing.pem"})
    with pytest.raises(InvalidSettings, match=r"TLS_CERTIFICATE.*missing\.pem.*No such file"):
        server_context(missing)


def test_a_key_that_belongs_to_another_certificate_is_said(bank: Authority) -> None:
    _, another = bank.certify("another")
    with pytest.raises(InvalidSettings, match="KEY_VALUES_MISMATCH"):
        server_context(speaking_tls(bank).model_copy(update={"tls_key": another}))


def test_nobody_is_asked_for_the_password_of_a_key(bank: Authority, tmp_path: Path) -> None:
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        private(new_key(SECP256R1()), serialization.BestAvailableEncryption(b"secret"))
    )
    with pytest.raises(InvalidSettings, match="the key is encrypted"):
        server_context(speaking_tls(bank).model_copy(update={"tls_key": encrypted}))


def test_authorities_that_are_none_are_named(bank: Authority, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    with pytest.raises(InvalidSettings, match=r"TLS_CLIENT_CA: .*nothing\.pem"):
        server_context(speaking_tls(bank, clients=nothing))


@pytest.mark.parametrize(("scheme", "told"), [("https", "max-age=31536000"), ("http", None)])
def test_whoever_comes_by_tls_is_told_to_come_by_nothing_else(
    scheme: str, told: str | None
) -> None:
    guard = Guard(
        Response("hello"), body_bytes=10, hosts=None, origins=Origins(frozenset()), seconds=10
    )

    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get(f"{scheme}://bank.example/")

    assert asyncio.run(answer()).headers.get("strict-transport-security") == told
