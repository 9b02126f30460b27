"""The files of attempts: names, limits, and attempts kept apart. Crashes and full disks: test_spool.py."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from doai.errors import ErrorClass, StepError
from doai.ids import Token
from doai.limits import ARTIFACT_BYTES_MAX
from doai.node.artifacts import ArtifactOwner, KeptArtifacts
from doai.node.steps.base import ArtifactRef

OWNER = ArtifactOwner(
    content_id="video-1", run_id="R1", task_id="T1", token=Token(1, 7), device_serial="PHONE-1", step_id="shot"
)


def keep(kept: KeptArtifacts, owner: ArtifactOwner = OWNER) -> ArtifactRef:
    ref = kept.plan(owner, size_bytes=4, extension="png", media_type="image/png", name=None, utc_ms=0)
    return kept.write(owner, ref, b"data")


def test_attempts_of_a_task_are_kept_apart(tmp_path: Path) -> None:
    kept = KeptArtifacts(tmp_path, "node-1")
    again = msgspec.structs.replace(OWNER, token=Token(1, 8))
    first, second = keep(kept), keep(kept, again)
    assert first.name == second.name
    kept.drop("T1", Token(1, 7))
    assert kept.find("T1", Token(1, 8), second.name).file.read_bytes() == b"data"
    assert kept.count == 1
    with pytest.raises(StepError, match="none yet"):
        kept.find("T1", Token(1, 7), first.name)


def test_a_file_that_was_planned_and_not_written_is_not_there(tmp_path: Path) -> None:
    kept = KeptArtifacts(tmp_path, "node-1")
    ref = kept.plan(OWNER, size_bytes=4, extension="png", media_type="image/png", name=None, utc_ms=0)
    with pytest.raises(StepError) as caught:
        kept.find("T1", OWNER.token, ref.name)
    assert caught.value.code == "unknown_artifact"
    kept.forget(OWNER, ref)
    assert kept.count == 0


def test_a_file_that_is_too_large_is_refused_before_it_is_written(tmp_path: Path) -> None:
    kept = KeptArtifacts(tmp_path, "node-1")
    with pytest.raises(StepError) as caught:
        kept.plan(
            OWNER, size_bytes=ARTIFACT_BYTES_MAX + 1, extension="png", media_type="image/png", name=None, utc_ms=0
        )
    assert (caught.value.failure.error_class, caught.value.code) == (ErrorClass.USER, "artifact_too_large")


def test_a_very_long_step_id_still_has_a_valid_path(tmp_path: Path) -> None:
    kept = KeptArtifacts(tmp_path, "node-1")
    long = msgspec.structs.replace(OWNER, step_id="a/" * 300, try_number=12)
    assert len({keep(kept, long).path for _ in range(3)}) == 3
