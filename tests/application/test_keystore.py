import base64
import hashlib
import hmac
import json
import os
import stat
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.keystore import (
    Custodian,
    KeystoreDamaged,
    KeystoreError,
    KeystoreExposed,
    LocalKeystore,
    MasterKeyMalformed,
    NotUnwrapped,
    UnknownKey,
    WrongMasterKey,
)

NO_VARIABLE: dict[str, str] = {}
GIVEN = {"LEDGERTWIN_MASTER_KEY": base64.b64encode(bytes(range(32))).decode()}
ANOTHER = {"LEDGERTWIN_MASTER_KEY": base64.b64encode(bytes(32)).decode()}
KEYSTORE = LocalKeystore.in_memory()
SECRET = bytes(range(100, 132))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keystore.json"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def opens(keystore: Custodian, another: Custodian) -> bool:
    wrapped = keystore.wrap(SECRET, b"aad")
    return another.unwrap(wrapped.kek_id, wrapped.wrapped, b"aad") == SECRET


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_what_was_wrapped_is_unwrapped(plaintext: bytes, aad: bytes) -> None:
    wrapped = KEYSTORE.wrap(plaintext, aad)
    assert KEYSTORE.unwrap(wrapped.kek_id, wrapped.wrapped, aad) == plaintext


@given(st.integers(0, 59), st.integers(1, 255))
def test_any_changed_byte_of_a_wrapped_key_is_found(place: int, change: int) -> None:
    wrapped = KEYSTORE.wrap(SECRET, b"aad")
    changed = bytearray(wrapped.wrapped)
    changed[place] ^= change
    with pytest.raises(NotUnwrapped):
        KEYSTORE.unwrap(wrapped.kek_id, bytes(changed), b"aad")


@given(st.integers(0, 59))
def test_a_wrapped_key_that_was_cut_short_is_found(length: int) -> None:
    wrapped = KEYSTORE.wrap(SECRET, b"aad")
    with pytest.raises(NotUnwrapped):
        KEYSTORE.unwrap(wrapped.kek_id, wrapped.wrapped[:length], b"aad")


def test_a_wrapped_key_is_bound_to_what_it_was_wrapped_with() -> None:
    wrapped = KEYSTORE.wrap(SECRET, b"aad")
    with pytest.raises(NotUnwrapped):
        KEYSTORE.unwrap(wrapped.kek_id, wrapped.wrapped, b"another")


def test_the_same_key_wrapped_twice_looks_different() -> None:
    assert KEYSTORE.wrap(SECRET, b"").wrapped != KEYSTORE.wrap(SECRET, b"").wrapped


def test_what_another_keystore_wrapped_is_refused_by_the_name_of_its_key() -> None:
    wrapped = LocalKeystore.in_memory().wrap(SECRET, b"")
    with pytest.raises(UnknownKey, match=wrapped.kek_id):
        KEYSTORE.unwrap(wrapped.kek_id, wrapped.wrapped, b"")


def test_what_an_earlier_key_wrapped_is_unwrapped_when_a_later_one_is_current() -> None:
    keks = {"kek-1": bytes(32), "kek-2": SECRET}
    earlier = LocalKeystore(keks, "kek-1", bytes(32))
    later = LocalKeystore(keks, "kek-2", bytes(32))
    assert opens(earlier, later)


@given(st.binary(max_size=100), st.text(max_size=20))
def test_a_fingerprint_is_what_the_documented_bytes_give(data: bytes, purpose: str) -> None:
    root = bytes(range(32))
    pseudorandom = hmac.digest(bytes(32), root, "sha256")  # RFC 5869, 2.2: no salt is zeros
    info = b"ledgertwin/mac/v1\0" + purpose.encode()
    key = hmac.digest(pseudorandom, info + b"\1", "sha256")
    expected = hmac.new(key, data, hashlib.sha256).digest()
    assert LocalKeystore({"k": root}, "k", root).mac(purpose, data) == expected


def test_a_fingerprint_for_another_purpose_is_another() -> None:
    assert KEYSTORE.mac("command", b"data") != KEYSTORE.mac("email", b"data")


def test_only_the_owner_may_read_the_files(path: Path) -> None:
    LocalKeystore.at(path, NO_VARIABLE)
    assert {file.name: mode(file) for file in path.parent.iterdir()} == {
        "keystore.json": 0o600,
        "master.key": 0o600,
    }


def test_a_permissive_umask_does_not_open_the_files_to_others(path: Path) -> None:
    before = os.umask(0)
    try:
        LocalKeystore.at(path, NO_VARIABLE)
    finally:
        os.umask(before)
    assert mode(path) == 0o600


def test_with_a_master_key_in_the_environment_none_is_written(path: Path) -> None:
    LocalKeystore.at(path, GIVEN)
    assert [file.name for file in path.parent.iterdir()] == ["keystore.json"]


@pytest.mark.parametrize("environment", [NO_VARIABLE, GIVEN], ids=["file", "environment"])
def test_a_keystore_opened_again_holds_the_same_keys(
    path: Path, environment: dict[str, str]
) -> None:
    first = LocalKeystore.at(path, environment)
    assert opens(first, LocalKeystore.at(path, environment))


def test_a_keystore_opened_again_gives_the_same_fingerprints(path: Path) -> None:
    first = LocalKeystore.at(path, GIVEN)
    assert first.mac("email", b"a") == LocalKeystore.at(path, GIVEN).mac("email", b"a")


def test_the_environment_of_the_process_is_the_default(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGERTWIN_MASTER_KEY", GIVEN["LEDGERTWIN_MASTER_KEY"])
    assert opens(LocalKeystore.at(path), LocalKeystore.at(path, GIVEN))


def test_processes_that_start_at_once_share_one_keystore(path: Path) -> None:
    starters = 8
    start = Barrier(starters)

    def open_it(_: int) -> LocalKeystore:
        start.wait()
        return LocalKeystore.at(path, NO_VARIABLE)

    with ThreadPoolExecutor(starters) as threads:
        keystores = list(threads.map(open_it, range(starters)))
    assert all(opens(keystores[0], other) for other in keystores)


def test_nothing_else_is_left_by_processes_that_start_at_once(path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: LocalKeystore.at(path, NO_VARIABLE), range(8)))
    assert {file.name for file in path.parent.iterdir()} == {"keystore.json", "master.key"}


@pytest.mark.parametrize("name", ["keystore.json", "master.key"])
@pytest.mark.parametrize("others", [0o640, 0o604, 0o620], ids=oct)
def test_a_file_open_to_others_is_refused(path: Path, name: str, others: int) -> None:
    LocalKeystore.at(path, NO_VARIABLE)
    path.with_name(name).chmod(others)
    with pytest.raises(KeystoreExposed, match=f"{name} is open to others .mode {others:04o}."):
        LocalKeystore.at(path, NO_VARIABLE)


def test_another_master_key_is_refused(path: Path) -> None:
    LocalKeystore.at(path, GIVEN)
    with pytest.raises(WrongMasterKey, match="made with another master key"):
        LocalKeystore.at(path, ANOTHER)


def test_a_forgotten_master_key_is_asked_for(path: Path) -> None:
    LocalKeystore.at(path, GIVEN)
    with pytest.raises(WrongMasterKey, match="set LEDGERTWIN_MASTER_KEY"):
        LocalKeystore.at(path, NO_VARIABLE)


def test_a_master_key_in_the_environment_does_not_replace_the_one_in_the_file(path: Path) -> None:
    LocalKeystore.at(path, NO_VARIABLE)
    with pytest.raises(WrongMasterKey, match="unset it"):
        LocalKeystore.at(path, GIVEN)


@pytest.mark.parametrize(
    "text", ["hunter2", "aHVudGVyMg==", "hunter2!" * 6, "café"], ids=["bare", "short", "long", "é"]
)
def test_a_malformed_master_key_is_refused(path: Path, text: str) -> None:
    with pytest.raises(MasterKeyMalformed, match="base64 of 32 bytes"):
        LocalKeystore.at(path, {"LEDGERTWIN_MASTER_KEY": text})


def test_a_malformed_master_key_is_not_repeated_in_the_error(path: Path) -> None:
    mistaken = {"LEDGERTWIN_MASTER_KEY": "hunter2"}
    with pytest.raises(MasterKeyMalformed) as refused:
        LocalKeystore.at(path, mistaken)
    assert mistaken["LEDGERTWIN_MASTER_KEY"] not in "".join(
        traceback.format_exception(refused.value)
    )


def test_a_malformed_master_key_leaves_no_keystore_behind(path: Path) -> None:
    with pytest.raises(MasterKeyMalformed):
        LocalKeystore.at(path, {"LEDGERTWIN_MASTER_KEY": "hunter2"})
    assert list(path.parent.iterdir()) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(place=st.integers(0), change=st.integers(1, 255))
def test_a_changed_file_never_gives_other_keys(path: Path, place: int, change: int) -> None:
    keystore = LocalKeystore.at(path, GIVEN)
    content = path.read_bytes()
    changed = bytearray(content)
    changed[place % len(content)] ^= change
    path.write_bytes(changed)
    try:
        # A byte that means nothing, such as one between two JSON tokens, may change.
        assert opens(keystore, LocalKeystore.at(path, GIVEN))
    except KeystoreError:
        pass
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xff", b"not JSON"])
def test_a_file_that_is_no_keystore_is_refused(path: Path, content: bytes) -> None:
    LocalKeystore.at(path, GIVEN)
    path.write_bytes(content)
    with pytest.raises(KeystoreDamaged, match="is not a keystore"):
        LocalKeystore.at(path, GIVEN)


def test_a_keystore_of_a_later_version_is_refused(path: Path) -> None:
    LocalKeystore.at(path, GIVEN)
    later = {**json.loads(path.read_bytes()), "format": "ledgertwin-keystore/v2"}
    path.write_text(json.dumps(later))
    with pytest.raises(KeystoreDamaged, match="format that this version does not know"):
        LocalKeystore.at(path, GIVEN)


def test_a_changed_ciphertext_is_refused(path: Path) -> None:
    LocalKeystore.at(path, GIVEN)
    outer = json.loads(path.read_bytes())
    sealed = bytearray(base64.b64decode(outer["sealed"]))
    sealed[7] ^= 1
    path.write_text(json.dumps({**outer, "sealed": base64.b64encode(sealed).decode()}))
    with pytest.raises(KeystoreDamaged, match="was changed"):
        LocalKeystore.at(path, GIVEN)


def test_the_file_holds_no_key_in_clear(path: Path) -> None:
    LocalKeystore.at(path, GIVEN)
    outer = json.loads(path.read_bytes())
    assert set(outer) == {"format", "master", "nonce", "sealed"}


def test_a_keystore_does_not_show_its_keys() -> None:
    keystore = LocalKeystore({"k": SECRET}, "k", SECRET)
    keystore.mac("purpose", b"")
    assert repr(SECRET)[2:-1] not in f"{keystore!r} {keystore}"


def test_a_failure_to_unwrap_tells_nothing_of_what_was_wrapped() -> None:
    wrapped = KEYSTORE.wrap(b"a secret", b"aad")
    with pytest.raises(NotUnwrapped) as refused:
        KEYSTORE.unwrap(wrapped.kek_id, wrapped.wrapped, b"another")
    assert "a secret" not in "".join(traceback.format_exception(refused.value))
