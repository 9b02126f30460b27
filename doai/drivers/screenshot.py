"""What `screencap -p` wrote, as a picture or as a failure (step 9)."""

from __future__ import annotations

from doai.drivers import failures
from doai.drivers.base import CommandOutput
from doai.drivers.png import PictureError, whole_png
from doai.errors import ErrorClass


def taken_picture(serial: str, output: CommandOutput) -> bytes:
    """Return the whole PNG; raises StepError (screenshot_failed, output_incomplete, output_garbled)."""
    if output.exit_code != 0:
        said = output.stderr.decode("utf-8", "replace").strip()[:200] or "it said nothing"
        raise failures.failed(
            ErrorClass.DEVICE,
            "screenshot_failed",
            f"device {serial} could not take a screenshot ({output.exit_code}: {said}): try again",
        )
    try:
        return whole_png(output.stdout)
    except PictureError as error:
        if error.cut_off:
            raise failures.output_incomplete(serial, "a screenshot", len(output.stdout)) from None
        raise failures.output_garbled(serial, "a screenshot", str(error)) from None
