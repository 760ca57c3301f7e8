"""What is wrong with a template, in AWS's words."""

from __future__ import annotations

from modelwright.errors import AwsError


class TemplateError(AwsError):
    """A template, or the values given for its parameters, can't be used."""

    default_code = "ValidationError"


def template_format(text: str) -> TemplateError:
    """The template is not built as templates are."""
    return TemplateError(f"Template format error: {text}")


def template_error(text: str) -> TemplateError:
    """An intrinsic function is not used as it must be."""
    return TemplateError(f"Template error: {text}")
