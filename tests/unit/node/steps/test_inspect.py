"""app.inspect: on the simulated phone, and against what other phones print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from doai.apk.signature import java_hash
from doai.errors import ErrorClass
from tests.apk.builder import make_apk
from tests.apk.keys import OTHER_KEY

Make = Callable[[dict[str, Any]], Any]
CAMERA = "android.permission.CAMERA"
APP = "com.example.app"


async def test_what_decides_about_an_installation_is_told(phone: Any, tmp_path: Path) -> None:
    found = await phone.do("app.inspect", package=APP)
    assert (found.installed, found.version_code, found.signer, found.granted) == (False, None, "", [])
    assert found.sdk == phone.device.phone.profile.sdk
    assert found.abis == ["arm64-v8a", "armeabi-v7a", "armeabi"]
    assert found.storage_free_mb > 1000
    path = tmp_path / "my-app@1.4"
    path.write_bytes(make_apk(APP, version_code=7, version_name="1.4", permissions=(CAMERA,), key=OTHER_KEY))
    phone.context.files["my-app@1.4"] = path
    await phone.do("app.install", file="my-app@1.4", grant_permissions=True)
    found = await phone.do("app.inspect", package=APP)
    assert (found.installed, found.version_code, found.version_name) == (True, 7, "1.4")
    assert (found.signer, found.granted, found.system) == (java_hash(OTHER_KEY.certificate), [CAMERA], False)
    assert (await phone.do("app.inspect", package="com.android.chrome")).system


async def test_a_signer_that_is_made_up_at_every_start_is_none(scripted: Make) -> None:
    """Android 8.1 prints identity hashes; one of several certificates is found among all."""

    def says(signatures: str, sdk: str = "33") -> dict[str, Any]:
        version = "    versionCode=7 minSdk=21 targetSdk=34\n    versionName=1\n"
        report = f"  Package [{APP}] (1):\n{version}    signatures={signatures}\n    flags=[ SYSTEM HAS_CODE ]"
        parts = ["package:/data/app/x/base.apk", report, sdk, "", ""]
        return {"pm path": "\n--doai-section--\n".join(parts)}

    found = await scripted(says("PackageSignatures{2f91a7 [b1c2d3]}", "27")).do("app.inspect", package=APP)
    assert (found.signer, found.system, found.abis, found.storage_free_mb) == ("", True, [], None)
    several = "PackageSignatures{a1 version:3, signatures:[1a2b, 3c4d], past signatures:[9f]}"
    assert (await scripted(says(several)).do("app.inspect", package=APP)).signer == "1a2b,3c4d"


async def test_a_phone_that_starts_is_not_ready(scripted: Make) -> None:
    error = await scripted({"pm path": "cmd: Can't find service: package"}).fail("app.inspect", package=APP)
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "device_not_ready")
