"""The programs of the phone's shell, by name (way of a task: 9)."""

from collections.abc import Mapping
from types import MappingProxyType

from doai.phone.commands import activity, display, files, package, settings, shade, system, touch
from doai.phone.commands.call import Program
from doai.phone.commands.dumpsys import dumpsys

TABLE: Mapping[str, Program] = MappingProxyType(
    {
        **activity.PROGRAMS,
        **display.PROGRAMS,
        **files.PROGRAMS,
        **package.PROGRAMS,
        **settings.PROGRAMS,
        **shade.PROGRAMS,
        **system.PROGRAMS,
        **touch.PROGRAMS,
        "dumpsys": dumpsys,
    }
)
"""What can be called. Anything else is `inaccessible or not found` (127)."""
