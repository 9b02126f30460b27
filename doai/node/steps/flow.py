"""wait and report: the steps that use no device (step 8)."""

from __future__ import annotations

import msgspec
import trio

from doai.errors import ErrorClass
from doai.limits import OUTPUTS_BYTES_MAX
from doai.node.steps.base import StepContext, step_failed
from doai.workflow.duration import parse_duration
from doai.workflow.step_type import NoOutputs
from doai.workflow.steps import Report, ReportOutputs, Wait


async def wait(arguments: Wait, context: StepContext) -> NoOutputs:
    """Do nothing for as long as the recipe says."""
    await trio.sleep(parse_duration(arguments.duration))
    return NoOutputs()


async def report(arguments: Report, context: StepContext) -> ReportOutputs:
    """Add values to the task's outputs."""
    size_bytes = len(msgspec.json.encode(arguments.values))
    if size_bytes > OUTPUTS_BYTES_MAX:
        raise step_failed(
            ErrorClass.USER,
            "outputs_too_large",
            f"The values have {size_bytes} bytes as JSON; at most {OUTPUTS_BYTES_MAX} can be outputs: report less.",
        )
    return ReportOutputs(values=arguments.values)
