"""Plug-ins: steps, drivers and bots that are found by a manifest, without a change to doai (steps 2, 8, 9, 14).

The author of a step imports from here: `step`, `Context`, `Arguments`, `Outputs`, `fail`.
"""

from doai.errors import ErrorClass, StepError
from doai.plugins.context import Artifact, Context, PluginDevice
from doai.plugins.definition import fail, step
from doai.workflow.step_type import Arguments, ArtifactName, Duration, FileReference, Outputs, Package, Text

__all__ = [
    "Arguments",
    "Artifact",
    "ArtifactName",
    "Context",
    "Duration",
    "ErrorClass",
    "FileReference",
    "Outputs",
    "Package",
    "PluginDevice",
    "StepError",
    "Text",
    "fail",
    "step",
]
