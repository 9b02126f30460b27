"""Whole packages: signed, damaged, unsigned, or none at all."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doai.apk.errors import ApkError
from doai.apk.package import read_apk, read_apk_file
from doai.apk.signature import V3_ID, java_hash, read_signature
from tests.apk.builder import PAGE_BYTES, compile_xml, make_apk, manifest, pack, sign
from tests.apk.keys import KEY, OTHER_KEY, SigningKey

SMALL = make_apk("com.example.app")


def refused(data: bytes) -> ApkError:
    with pytest.raises(ApkError) as caught:
        read_apk(io.BytesIO(data))
    return caught.value


def test_a_signed_package_of_several_chunks(tmp_path: Path) -> None:
    path = tmp_path / "app.apk"
    path.write_bytes(make_apk("com.example.app", version_code=7, padding_bytes=2_500_000, key=OTHER_KEY))
    apk = read_apk_file(path)
    assert (apk.manifest.package, apk.manifest.version_code) == ("com.example.app", 7)
    assert apk.signature.scheme == "v2"
    assert apk.signature.certificate_sha256 == hashlib.sha256(OTHER_KEY.certificate).hexdigest()


def test_a_later_scheme_is_read_where_there_is_no_v2() -> None:
    data = sign(make_apk("com.example.app", key=None), KEY, block_id=V3_ID)
    assert read_apk(io.BytesIO(data)).signature.scheme == "v3"


@given(st.integers(0, len(SMALL) - 1), st.integers(1, 255))
def test_one_changed_byte_is_found_wherever_it_is(at: int, flip: int) -> None:
    damaged = SMALL[:at] + bytes([SMALL[at] ^ flip]) + SMALL[at + 1 :]
    try:
        found = read_signature(io.BytesIO(damaged))
    except ApkError as error:
        assert error.code in ("apk_damaged", "not_an_apk")
    else:
        # What is left is the block itself: names of the scheme, the key and the signature, which the phone checks.
        begin, end = SMALL.index(b"APK Sig Block 42") - 3000, SMALL.index(b"APK Sig Block 42") + 16
        assert begin < at < end
        assert found is None or found.scheme == "v2"


def test_a_package_that_was_changed_after_signing_is_damaged() -> None:
    at = SMALL.index(b"AndroidManifest.xml")
    error = refused(SMALL[:at] + b"a" + SMALL[at + 1 :])
    assert error.code == "apk_damaged"
    assert "not those that were signed" in str(error)


def test_a_package_that_ends_too_early_is_none() -> None:
    for size in (0, 1, 100, len(SMALL) // 2, len(SMALL) - 1):
        assert refused(SMALL[:size]).code in ("not_an_apk", "apk_damaged")


def test_an_unsigned_package_is_refused_and_one_of_old_times_is_not() -> None:
    error = refused(make_apk("com.example.app", key=None))
    assert error.code == "apk_not_signed"
    assert "apksigner" in str(error)
    entries = {"AndroidManifest.xml": compile_xml(manifest("com.example.app")), "META-INF/CERT.RSA": b"x"}
    assert read_apk(io.BytesIO(pack(entries))).signature.scheme == "v1"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not_an_apk"),
        (b"#!/bin/sh", "not_an_apk"),
        (b"PK\x03\x04 broken", "not_an_apk"),
        (pack({"readme.txt": b"no app"}), "not_an_apk"),
        (pack({"AndroidManifest.xml": b"<manifest/>"}), "bad_manifest"),
        (pack({"AndroidManifest.xml": bytes(9_000_000)}), "bad_manifest"),
    ],
)
def test_what_is_no_package(data: bytes, code: str) -> None:
    assert refused(data).code == code


NAMES = st.from_regex(r"[a-z]{1,6}(\.[a-z][a-z0-9_]{0,8}){1,3}", fullmatch=True)
ABIS = ("arm64-v8a", "armeabi-v7a", "x86", "x86_64")


@settings(max_examples=25)  # each is signed
@given(
    name=NAMES,
    version_code=st.integers(0, 2**40),
    version_name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
    min_sdk=st.integers(1, 40),
    target_sdk=st.integers(1, 40),
    permissions=st.lists(NAMES, unique=True, max_size=4).map(tuple),
    abis=st.sets(st.sampled_from(ABIS)).map(sorted).map(tuple),
    test_only=st.booleans(),
    key=st.sampled_from([KEY, OTHER_KEY]),
)
def test_what_was_built_is_read(
    name: str,
    version_code: int,
    version_name: str,
    min_sdk: int,
    target_sdk: int,
    permissions: tuple[str, ...],
    abis: tuple[str, ...],
    test_only: bool,
    key: SigningKey,
) -> None:
    data = make_apk(
        name,
        version_code=version_code,
        version_name=version_name,
        min_sdk=min_sdk,
        target_sdk=target_sdk,
        permissions=permissions,
        abis=abis,
        test_only=test_only,
        key=key,
    )
    apk = read_apk(io.BytesIO(data))
    read = apk.manifest
    assert (read.package, read.version_code, read.version_name) == (name, version_code, version_name)
    assert (read.min_sdk, read.target_sdk, read.test_only) == (min_sdk, target_sdk, test_only)
    assert (read.permissions, apk.abis) == (permissions, abis)
    assert apk.signature.certificate_sha256 == hashlib.sha256(key.certificate).hexdigest()
    assert apk.signature.certificate_hash == java_hash(key.certificate)


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"", "1"), (b"\0", "1f"), (b"\x01", "20"), (b"\xff", "1e"), (b"\x80\x7f", "fffff4c0"), (b"doai", "3d3974")],
)
def test_the_hash_of_a_certificate_is_that_of_java(data: bytes, value: str) -> None:
    """Arrays.hashCode by its definition: 31 * hash + (signed byte), from 1, in 32 bits."""
    assert java_hash(data) == value


def test_native_code_lies_on_pages_and_only_its_own_folder_counts() -> None:
    data = make_apk("com.example.app", abis=("arm64-v8a", "x86_64"))
    assert data.index(b"\x7fELFarm64") % PAGE_BYTES == data.index(b"\x7fELFx86_64") % PAGE_BYTES == 0
    odd = {
        "AndroidManifest.xml": compile_xml(manifest("com.example.app")),
        "lib/readme.so": b"",
        "assets/lib/x86/a.so": b"",
    }
    assert read_apk(io.BytesIO(sign(pack(odd)))).abis == ()
