"""How OpenAPI describes the two bodies that are no JSON objects: a workflow's text, a file (steps 2 and 10)."""

from __future__ import annotations

from dataclasses import dataclass

from litestar.openapi.spec import Example, OpenAPIMediaType, Operation, Reference, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from doai.admin import examples


@dataclass
class WorkflowText(Operation):
    """An operation whose body is a workflow in YAML or JSON."""

    def __post_init__(self) -> None:
        example: dict[str, Example | Reference] = {
            "look": Example(summary="a first workflow", value=examples.WORKFLOW_SOURCE)
        }
        text = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING), examples=example)
        self.request_body = RequestBody(
            description="YAML 1.2 or JSON.", required=True, content={"application/yaml": text}
        )


@dataclass
class FileBytes(Operation):
    """An operation whose body is a file."""

    def __post_init__(self) -> None:
        schema = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        self.request_body = RequestBody(
            description="The bytes of the file.",
            required=True,
            content={"application/octet-stream": OpenAPIMediaType(schema=schema)},
        )
