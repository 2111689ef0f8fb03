"""A full pool answers 503 with Retry-After instead of 500: the site is busy, not broken."""

import logging
import sys
from collections.abc import Callable

from django.core.signals import got_request_exception
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse

from .errors import PoolError

logger = logging.getLogger("mysql_pool")

RETRY_AFTER = "1"  # seconds: a slot is held for milliseconds, so a second later one is free
NOTE = "mysql_pool_was_full"  # an attribute of the request


def pool_error(exception: BaseException | None) -> PoolError | None:
    """The ``PoolError`` behind what Django raised, if that is what it was."""
    if isinstance(exception, OperationalError) and isinstance(exception.__cause__, PoolError):
        return exception.__cause__
    return None


class PoolTimeoutMiddleware:
    """Put it first, so that it also answers for the middleware behind it (sessions, say)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        # An error in other middleware has become a 500 by now; the signal left a note.
        if response.status_code == 500 and getattr(request, NOTE, False):
            return busy()
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The view met a full pool."""
        error = pool_error(exception)
        if error is None:
            return None
        logger.warning("503 for %s %s: %s", request.method, request.path, error)
        return busy()


def busy() -> HttpResponse:
    """503 Service Unavailable, come again in a moment."""
    return HttpResponse(
        "The server is busy. Please try again.\n",
        status=503,
        content_type="text/plain; charset=utf-8",
        headers={"Retry-After": RETRY_AFTER, "Cache-Control": "no-store"},
    )


def _note_full_pool(sender: object, request: HttpRequest | None = None, **kwargs: object) -> None:
    if request is not None and pool_error(sys.exc_info()[1]):
        setattr(request, NOTE, True)


got_request_exception.connect(_note_full_pool, dispatch_uid="mysql_pool.middleware")
