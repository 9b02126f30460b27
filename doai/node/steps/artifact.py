"""artifact.upload (step 8)."""

from __future__ import annotations

from doai.node.steps.base import StepContext
from doai.workflow.steps import Upload, UploadOutputs


async def upload(arguments: Upload, context: StepContext) -> UploadOutputs:
    """Hand a kept file over for upload; that it was stored is a later fact (artifact.stored)."""
    ref = await context.spool_artifact(arguments.artifact)
    return UploadOutputs(path=ref.path, sha256=ref.sha256)
