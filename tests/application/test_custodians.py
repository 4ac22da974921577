"""What every custodian of keys does, be it a file or an HSM.

The HSM is SoftHSM, which is skipped where its library is not: `apt-get install softhsm2`, or
LEDGERTWIN_TEST_PKCS11_MODULE names another PKCS#11 module of its kind.
"""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from application.keystore import (
    Custodian,
    KeyInUse,
    KeystoreError,
    LocalKeystore,
    NotUnwrapped,
    UnknownKey,
)
from interfaces.settings import Settings
from interfaces.system import open_keystore

SECRET = bytes(range(100, 132))
GIVEN = {"LEDGERTWIN_MASTER_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
USER_PIN = "482613"
MODULES = (
    os.environ.get("LEDGERTWIN_TEST_PKCS11_MODULE", ""),
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
MODULE = next((Path(module) for module in MODULES if module and Path(module).exists()), None)
UTIL = shutil.which("softhsm2-util")

needs_softhsm = pytest.mark.skipif(
    MODULE is None or UTIL is None, reason="SoftHSM is not installed: apt-get install softhsm2"
)

Open = Callable[[], Custodian]
"""Opens the same keys again, as another process does."""


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The configuration of tokens that are this run's alone."""
    home = tmp_path_factory.mktemp("softhsm")
    (home / "tokens").mkdir()
    configuration = home / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {home / 'tokens'}\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    yield configuration
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


@pytest.fixture(scope="session")
def token(softhsm: Path) -> str:
    """The label of a new token: one for all tests, as the library looks for tokens only once in a
    process. So a test finds what others have left in it."""
    return new_token()


def new_token() -> str:
    label = f"test-{secrets.token_hex(4)}"
    assert UTIL is not None
    made = ["--init-token", "--free", "--label", label, "--so-pin", "1234567", "--pin", USER_PIN]
    subprocess.run([UTIL, *made], check=True, capture_output=True)  # noqa: S603 -- SoftHSM's own
    return label


def hsm(token: str, directory: Path, pin: str = USER_PIN) -> Custodian:
    from application.hsm import HsmKeystore  # noqa: PLC0415 -- only where its library is

    assert MODULE is not None
    return HsmKeystore.at(MODULE, token, pin, directory)


@pytest.fixture(params=["file", pytest.param("HSM", marks=needs_softhsm)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "file":
        return lambda: LocalKeystore.at(tmp_path / "keystore", GIVEN)
    token = request.getfixturevalue("token")
    return lambda: hsm(token, tmp_path)


@pytest.fixture
def custodian(opened: Open) -> Custodian:
    return opened()


def test_what_was_wrapped_is_unwrapped(custodian: Custodian) -> None:
    wrapped = custodian.wrap(SECRET, b"aad")
    assert custodian.unwrap(wrapped.kek_id, wrapped.wrapped, b"aad") == SECRET


def test_what_was_wrapped_is_unwrapped_when_the_keys_are_opened_again(opened: Open) -> None:
    wrapped = opened().wrap(SECRET, b"aad")
    assert opened().unwrap(wrapped.kek_id, wrapped.wrapped, b"aad") == SECRET


@pytest.mark.parametrize("place", [0, 11, 12, 43, 44, 59])
def test_a_changed_byte_of_a_wrapped_key_is_found(custodian: Custodian, place: int) -> None:
    wrapped = custodian.wrap(SECRET, b"aad")
    altered = bytearray(wrapped.wrapped)
    altered[place] ^= 1
    with pytest.raises(NotUnwrapped):
        custodian.unwrap(wrapped.kek_id, bytes(altered), b"aad")


@pytest.mark.parametrize("length", [0, 5, 12, 27, 28, 59])
def test_a_wrapped_key_that_was_cut_short_is_found(custodian: Custodian, length: int) -> None:
    wrapped = custodian.wrap(SECRET, b"aad")
    with pytest.raises(NotUnwrapped):
        custodian.unwrap(wrapped.kek_id, wrapped.wrapped[:length], b"aad")


def test_a_wrapped_key_is_bound_to_what_it_was_wrapped_with(custodian: Custodian) -> None:
    wrapped = custodian.wrap(SECRET, b"aad")
    with pytest.raises(NotUnwrapped):
        custodian.unwrap(wrapped.kek_id, wrapped.wrapped, b"another")


def test_a_key_that_was_never_here_is_unknown_by_its_name(custodian: Custodian) -> None:
    wrapped = LocalKeystore.in_memory().wrap(SECRET, b"")
    with pytest.raises(UnknownKey, match=wrapped.kek_id):
        custodian.unwrap(wrapped.kek_id, wrapped.wrapped, b"")


def test_a_fingerprint_is_32_bytes_and_stays_the_same(opened: Open) -> None:
    fingerprint = opened().mac("email", b"a")
    assert len(fingerprint) == 32
    assert opened().mac("email", b"a") == fingerprint


def test_a_fingerprint_is_of_its_purpose_and_its_data(custodian: Custodian) -> None:
    made = {custodian.mac(*asked) for asked in [("a", b"bc"), ("ab", b"c"), ("a", b"b"), ("", b"")]}
    assert len(made) == 4


def test_a_signature_is_verified_with_the_public_key(custodian: Custodian) -> None:
    public = Ed25519PublicKey.from_public_bytes(custodian.public_key("checkpoint"))
    signature = custodian.sign("checkpoint", b"data")
    public.verify(signature, b"data")
    with pytest.raises(InvalidSignature):
        public.verify(signature, b"other data")


def test_every_purpose_signs_with_a_key_of_its_own(opened: Open) -> None:
    checkpoint = opened().public_key("checkpoint")
    assert checkpoint == opened().public_key("checkpoint")
    assert checkpoint != opened().public_key("certificate")


def test_a_created_key_is_the_current_one_and_the_old_one_still_unwraps(
    custodian: Custodian,
) -> None:
    old = custodian.wrap(SECRET, b"")
    created = custodian.create()
    assert custodian.wrap(SECRET, b"").kek_id == created != old.kek_id
    assert custodian.unwrap(old.kek_id, old.wrapped, b"") == SECRET


def test_what_is_rewrapped_outlives_the_key_that_it_was_wrapped_under(
    custodian: Custodian,
) -> None:
    old = custodian.wrap(SECRET, b"aad")
    custodian.create()
    new = custodian.rewrap(old.kek_id, old.wrapped, b"aad")
    custodian.destroy(old.kek_id)
    assert custodian.unwrap(new.kek_id, new.wrapped, b"aad") == SECRET


def test_what_was_wrapped_under_a_destroyed_key_is_lost(opened: Open) -> None:
    one, another = opened(), opened()
    old = one.wrap(SECRET, b"")
    assert another.unwrap(old.kek_id, old.wrapped, b"") == SECRET
    one.create()
    one.destroy(old.kek_id)
    for custodian in (one, another, opened()):
        with pytest.raises(UnknownKey, match=old.kek_id):
            custodian.unwrap(old.kek_id, old.wrapped, b"")


def test_nobody_wraps_under_a_key_that_somebody_else_has_destroyed(opened: Open) -> None:
    one, another = opened(), opened()
    first = another.wrap(SECRET, b"").kek_id
    created = one.create()
    one.destroy(first)
    assert another.wrap(SECRET, b"").kek_id == created


def test_the_current_key_is_not_destroyed(custodian: Custodian) -> None:
    current = custodian.wrap(SECRET, b"").kek_id
    with pytest.raises(KeyInUse, match=current):
        custodian.destroy(current)


def test_a_key_that_is_not_here_is_not_destroyed(custodian: Custodian) -> None:
    with pytest.raises(UnknownKey, match="kek-7-none"):
        custodian.destroy("kek-7-none")


def test_keys_change_without_changing_fingerprints_and_signers(custodian: Custodian) -> None:
    before = custodian.mac("email", b"a"), custodian.public_key("checkpoint")
    custodian.create()
    assert (custodian.mac("email", b"a"), custodian.public_key("checkpoint")) == before


def test_many_threads_may_ask_at_once(custodian: Custodian) -> None:
    def ask(number: int) -> bool:
        secret = number.to_bytes(32)
        wrapped = custodian.wrap(secret, b"")
        return custodian.unwrap(wrapped.kek_id, wrapped.wrapped, b"") == secret

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(200)))


def test_the_file_stays_private_when_keys_are_created_and_destroyed(tmp_path: Path) -> None:
    keystore = LocalKeystore.at(tmp_path / "keystore", GIVEN)
    first = keystore.wrap(SECRET, b"").kek_id
    keystore.create()
    keystore.destroy(first)
    assert {f.name: f.stat().st_mode & 0o777 for f in tmp_path.iterdir()} == {"keystore": 0o600}


def test_processes_that_create_keys_at_once_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "keystore"
    custodians = [LocalKeystore.at(path, GIVEN) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda custodian: custodian.create(), custodians))
    again = LocalKeystore.at(path, GIVEN)
    for kek_id in made[:-1]:
        if kek_id != again.wrap(SECRET, b"").kek_id:
            again.destroy(kek_id)  # each is there to be destroyed
    assert len(set(made)) == 8


def in_another_process(token: str, directory: Path, pin: str) -> "subprocess.Popen[str]":
    """One that opens the token and says a fingerprint, a public key and the current key's id."""
    program = (
        "import sys; from pathlib import Path; from application.hsm import HsmKeystore;"
        "k = HsmKeystore.at(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]));"
        f"print(k.mac('{directory}', b'').hex(), k.public_key('{directory}').hex(),"
        " k.wrap(b'', b'').kek_id)"
    )
    return subprocess.Popen(  # noqa: S603 -- this very Python
        [sys.executable, "-c", program, str(MODULE), token, pin, str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


# --- only the HSM ---------------------------------------------------------------------------------


@needs_softhsm
def test_no_key_ever_leaves_the_token(token: str, tmp_path: Path) -> None:
    import pkcs11  # noqa: PLC0415

    keystore = hsm(token, tmp_path)
    keystore.public_key("checkpoint")
    session = keystore._session  # type: ignore[attr-defined]  # noqa: SLF001 -- to look inside
    secret = {pkcs11.ObjectClass.SECRET_KEY, pkcs11.ObjectClass.PRIVATE_KEY}
    keys = [key for key in session.get_objects() if key.object_class in secret]
    assert {key.label.split()[1] for key in keys} == {"kek", "mac", "sign"}
    for key in keys:
        assert key[pkcs11.Attribute.SENSITIVE]
        assert not key[pkcs11.Attribute.EXTRACTABLE]
        assert key[pkcs11.Attribute.NEVER_EXTRACTABLE]
        assert key[pkcs11.Attribute.LOCAL]
        with pytest.raises(pkcs11.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]


@needs_softhsm
def test_a_wrong_pin_is_said_and_not_repeated(token: str, tmp_path: Path) -> None:
    said = in_another_process(token, tmp_path, "999999").communicate(timeout=60)[1]
    assert f"HsmUnavailable: the token {token!r} refuses the PIN: PinIncorrect" in said
    assert "999999" not in said


@needs_softhsm
def test_a_token_that_is_not_there_is_named(softhsm: Path, tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="no token labelled 'nowhere'"):
        hsm("nowhere", tmp_path)


def test_a_file_that_is_no_module_is_named(tmp_path: Path) -> None:
    hsm_module = pytest.importorskip("application.hsm")
    nothing = tmp_path / "nothing.so"
    nothing.write_bytes(b"no library")
    with pytest.raises(KeystoreError, match=r"nothing\.so.*while loading"):
        hsm_module.HsmKeystore.at(nothing, "token", "pin", tmp_path)


@needs_softhsm
@pytest.mark.usefixtures("softhsm")
def test_processes_that_begin_at_once_agree_on_the_keys(tmp_path: Path) -> None:
    token = new_token()
    begun = [in_another_process(token, tmp_path, USER_PIN) for _ in range(3)]
    said = {process.communicate(timeout=60)[0] for process in begun}
    assert len(said) == 1
    assert all(len(line.split()) == 3 for line in said)


# --- which one a bank has -------------------------------------------------------------------------


def settings(home: Path, **hsm: str) -> Settings:
    named = {f"LEDGERTWIN_PKCS11_{name.upper()}": value for name, value in hsm.items()}
    return Settings.from_environment({"LEDGERTWIN_HOME": str(home), **named})


def test_without_an_hsm_the_keys_are_in_a_file(tmp_path: Path) -> None:
    assert isinstance(open_keystore(settings(tmp_path)), LocalKeystore)
    assert (tmp_path / "keystore").exists()


@needs_softhsm
def test_with_an_hsm_no_key_is_in_a_file(token: str, tmp_path: Path) -> None:
    named = settings(tmp_path, module=str(MODULE), token=token, pin=USER_PIN)
    keystore = open_keystore(named)
    assert keystore.mac("email", b"a") == hsm(token, tmp_path).mac("email", b"a")
    assert list(tmp_path.iterdir()) == []


@needs_softhsm
def test_the_pin_may_be_in_a_private_file(token: str, tmp_path: Path) -> None:
    pin_file = tmp_path / "pin"
    pin_file.write_text(f"{USER_PIN}\n")
    named = settings(tmp_path, module=str(MODULE), token=token, pin_file=str(pin_file))
    pin_file.chmod(0o644)
    with pytest.raises(KeystoreError, match="is open to others"):
        open_keystore(named)
    pin_file.chmod(0o600)
    assert len(open_keystore(named).mac("email", b"a")) == 32


def test_a_pin_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pkcs11")
    named = settings(tmp_path, module="/m.so", token="t", pin_file=str(tmp_path / "pin"))  # noqa: S106
    with pytest.raises(KeystoreError, match=r"PIN_FILE: .*pin cannot be read: FileNotFoundError"):
        open_keystore(named)
