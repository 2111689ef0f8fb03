"""Template context that every page has."""

from django.conf import settings
from django.http import HttpRequest


def project_name(request: HttpRequest) -> dict[str, str]:
    """The name on top of every page."""
    return {"project_name": settings.PROJECT_NAME}
