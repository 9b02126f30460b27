"""screen.capture (step 8)."""

from __future__ import annotations

from doai.drivers.base import Device
from doai.drivers.png import PictureError, picture_size, whole_png
from doai.errors import ErrorClass
from doai.node.steps.base import StepContext, step_failed
from doai.workflow.steps import Capture, CaptureOutputs


async def capture(arguments: Capture, context: StepContext) -> CaptureOutputs:
    """Take a picture of the screen and keep it on the node."""
    picture = await take_picture(context.device)
    width, height = picture_size(picture)
    ref = await context.keep_artifact(picture, extension="png", media_type="image/png", name=arguments.name)
    return CaptureOutputs(
        artifact=ref.name, width=width, height=height, sha256=ref.sha256, size_bytes=ref.size_bytes
    )


async def take_picture(device: Device) -> bytes:
    """Return the device's screen as a whole PNG; raises StepError (class device) for anything else."""
    data = await device.screenshot()
    try:
        return whole_png(data)
    except PictureError as error:
        raise step_failed(
            ErrorClass.DEVICE, "bad_screenshot", f"The device's picture of its screen can not be used: {error}."
        ) from None
