"""Models of phones as they are sold, and the choice of one from a seed (way of a task: 9)."""

import random

import msgspec


class Profile(msgspec.Struct, frozen=True):
    """What does not change about one model: names as `getprop` gives them, and the display in pixels."""

    manufacturer: str
    model: str
    product: str
    sdk: int
    release: str
    width_px: int
    height_px: int
    ram_kb: int
    storage_kb: int


PROFILES: tuple[Profile, ...] = (
    Profile("samsung", "SM-G991N", "o1sksx", 33, "13", 360, 800, 7_600_000, 112_000_000),
    Profile("samsung", "SM-A536N", "a53xks", 34, "14", 360, 800, 5_700_000, 112_000_000),
    Profile("samsung", "SM-G960N", "starlteks", 29, "10", 360, 740, 3_800_000, 52_000_000),
    Profile("Google", "Pixel 4a", "sunfish", 33, "13", 360, 780, 5_700_000, 112_000_000),
    Profile("Google", "Pixel 6", "oriole", 34, "14", 360, 800, 7_600_000, 112_000_000),
    Profile("LGE", "LM-V500N", "flashlmdd", 31, "12", 360, 780, 7_600_000, 112_000_000),
    Profile("Xiaomi", "Redmi Note 9", "merlin", 30, "11", 360, 780, 3_800_000, 52_000_000),
    Profile("LGE", "LM-G710N", "judyln", 28, "9", 360, 640, 3_800_000, 52_000_000),
    Profile("samsung", "SM-S908N", "b0qksx", 32, "12", 360, 772, 7_600_000, 112_000_000),
)
"""Real model names; the displays are theirs scaled to 360 points wide, so that pictures stay small."""

ABIS: tuple[str, ...] = ("arm64-v8a", "armeabi-v7a", "armeabi")
"""Whose native code every phone runs, the best first."""

TAGS: tuple[str, ...] = ("lab", "wifi", "lte", "spare")
"""Tags a phone may carry in `persist.doai.tags`; every phone has the first."""


def choose(seed: int, index: int) -> tuple[Profile, tuple[str, ...]]:
    """The model and tags of the index-th phone of a shelf; the same for the same seed."""
    chance = random.Random(f"{seed}/{index}")
    profile = PROFILES[chance.randrange(len(PROFILES))]
    return profile, (TAGS[0], TAGS[1 + chance.randrange(len(TAGS) - 1)])


def properties(profile: Profile, serial: str, tags: tuple[str, ...]) -> dict[str, str]:
    """What `getprop` says of a phone that has not been changed, without what depends on time."""
    fingerprint = (
        f"{profile.manufacturer.lower()}/{profile.product}/{profile.product}:{profile.release}"
        f"/SIM.{profile.sdk}/1:user/release-keys"
    )
    return {
        "ro.serialno": serial,
        "ro.boot.serialno": serial,
        "ro.product.manufacturer": profile.manufacturer,
        "ro.product.brand": profile.manufacturer.lower(),
        "ro.product.model": profile.model,
        "ro.product.name": profile.product,
        "ro.product.device": profile.product,
        "ro.product.cpu.abi": ABIS[0],
        "ro.product.cpu.abilist": ",".join(ABIS),
        "ro.build.version.sdk": str(profile.sdk),
        "ro.build.version.release": profile.release,
        "ro.build.fingerprint": fingerprint,
        "ro.build.type": "user",
        "ro.build.characteristics": "default",
        "ro.hardware": "simulated",
        "ro.sf.lcd_density": "160",
        "persist.doai.tags": ",".join(tags),
        "persist.sys.locale": "ko-KR",
        "persist.sys.timezone": "Asia/Seoul",
        "init.svc.adbd": "running",
    }
