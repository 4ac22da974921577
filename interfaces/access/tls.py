"""TLS, and whom it lets in: where authorities are set, only who shows a certificate of theirs."""

import ssl
from pathlib import Path

from interfaces.settings import InvalidSettings, Settings


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """What the server speaks, or None if that is not TLS. Raises InvalidSettings.

    TLS 1.2 is the oldest version spoken (RFC 9325, 3.1.1), with the suites that OpenSSL's default
    leaves.
    """
    if settings.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=_no_password)
    except (OSError, ValueError) as refused:
        files = f"{settings.tls_certificate} and {settings.tls_key}"
        raise InvalidSettings(
            f"LEDGERTWIN_TLS_CERTIFICATE, LEDGERTWIN_TLS_KEY: {files}: {_why(refused)}"
        ) from None
    if settings.tls_client_ca is not None:
        _ask_for_certificates(context, settings.tls_client_ca)
    return context


def _ask_for_certificates(context: ssl.SSLContext, authorities: Path) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(authorities)
    except OSError as refused:
        raise InvalidSettings(f"LEDGERTWIN_TLS_CLIENT_CA: {authorities}: {_why(refused)}") from None


def _no_password() -> str:
    """OpenSSL would ask for it at the terminal, and a server has none."""
    raise ValueError("the key is encrypted")


def _why(refused: Exception) -> str:
    if isinstance(refused, ssl.SSLError):
        return f"not what it has to be ({refused.reason or 'no certificate in it'})"
    return getattr(refused, "strerror", None) or str(refused)
