"""Compiled manifests: what is read, and what is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.apk.binary_xml import read_binary_xml
from doai.apk.errors import ApkError
from doai.apk.manifest import SDK_OF_CODENAME, read_manifest
from tests.apk.builder import RUNNER, Node, Reference, compile_xml, manifest

LAUNCH = "com.example.app.MainActivity"


@pytest.mark.parametrize("utf8", [True, False], ids=["utf-8", "utf-16"])
def test_what_a_manifest_says(utf8: bool) -> None:
    root = manifest(
        "com.example.app",
        version_code=42,
        version_name="1.4-베타",
        min_sdk=26,
        label="로그인 " + "x" * 200,
        permissions=("android.permission.CAMERA", "android.permission.INTERNET", "android.permission.CAMERA"),
        instruments="com.example.other",
        test_only=True,
    )
    read = read_manifest(compile_xml(root, utf8=utf8))
    assert (read.package, read.version_code, read.version_name) == ("com.example.app", 42, "1.4-베타")
    assert (read.min_sdk, read.target_sdk, read.test_only) == (26, 34, True)
    assert read.label == "로그인 " + "x" * 200
    assert read.launch_activity == LAUNCH
    assert read.permissions == ("android.permission.CAMERA", "android.permission.INTERNET")
    assert [(one.runner, one.target_package) for one in read.instrumentations] == [(RUNNER, "com.example.other")]


@pytest.mark.parametrize(
    ("activity", "whole"),
    [("MainActivity", LAUNCH), (".MainActivity", LAUNCH), ("org.other.Main", "org.other.Main"), ("", "")],
)
def test_the_activity_of_the_home_screen_has_its_whole_name(activity: str, whole: str) -> None:
    assert read_manifest(compile_xml(manifest("com.example.app", activity=activity))).launch_activity == whole


def test_an_activity_that_is_switched_off_starts_nothing() -> None:
    root = manifest("com.example.app")
    application = next(child for child in root.children if child.name == "application")
    application.children[0].android["enabled"] = False
    assert read_manifest(compile_xml(root)).launch_activity == ""


def test_a_value_that_is_a_resource_is_not_made_up() -> None:
    read = read_manifest(compile_xml(manifest("com.example.app", version_name=Reference(0x7F010000))))
    assert read.version_name == ""


def test_a_preview_needs_a_newer_android_than_any() -> None:
    assert read_manifest(compile_xml(manifest("com.example.app", min_sdk="Baklava"))).min_sdk == SDK_OF_CODENAME
    assert read_manifest(compile_xml(manifest("com.example.app", min_sdk="29"))).min_sdk == 29


@pytest.mark.parametrize(
    ("root", "code"),
    [
        (Node("manifest", plain={"package": "com.example; reboot"}), "bad_manifest"),
        (Node("manifest"), "bad_manifest"),
        (Node("resources", plain={"package": "com.example.app"}), "bad_manifest"),
        (Node("manifest", plain={"package": "com.example.app", "split": "config.arm64"}), "apk_is_split"),
    ],
)
def test_what_names_no_whole_app_is_refused(root: Node, code: str) -> None:
    with pytest.raises(ApkError) as caught:
        read_manifest(compile_xml(root))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "data", [b"", b"<?xml version='1.0'?><manifest package='com.a'/>", struct.pack("<HHI", 3, 8, 8)]
)
def test_what_was_never_compiled_is_refused(data: bytes) -> None:
    with pytest.raises(ApkError, match=r"AndroidManifest\.xml"):
        read_manifest(data)


def test_elements_without_end_are_refused() -> None:
    root = Node("manifest", plain={"package": "com.example.app"})
    inner = root
    for _ in range(70):
        inner.children.append(Node("application"))
        inner = inner.children[0]
    with pytest.raises(ApkError, match="inside each other"):
        read_binary_xml(compile_xml(root))


SOUND = compile_xml(manifest("com.example.app", permissions=("android.permission.CAMERA",)))


@given(st.integers(0, len(SOUND) - 1), st.binary(min_size=1, max_size=8))
def test_a_damaged_manifest_is_read_or_refused_and_nothing_else(at: int, noise: bytes) -> None:
    damaged = SOUND[:at] + noise + SOUND[at + len(noise) :]
    for data in (damaged, SOUND[:at]):
        try:
            read_manifest(data)
        except ApkError as error:
            assert error.code in ("bad_manifest", "apk_is_split")
