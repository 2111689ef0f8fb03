"""/livez, /readyz and /metrics: for a load balancer, a deployment and Prometheus; not for people.

They are answered by a middleware, before the host name is checked, HTTPS is asked for or a session
is looked at: a probe comes from this machine, by address and in plain HTTP.
"""

from collections.abc import Callable

from django.db import DatabaseError, connections
from django.http import HttpRequest, HttpResponse, JsonResponse

import mysql_pool
from ops import metrics

GetResponse = Callable[[HttpRequest], HttpResponse]


class ProbeMiddleware:
    """Answers the paths of PROBES and passes on everything else."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        probe = PROBES.get(request.path_info)
        if probe is None:
            return self.get_response(request)
        if request.method not in ("GET", "HEAD"):
            return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
        response = probe(request)
        response["Cache-Control"] = "no-store"
        return response


def livez(request: HttpRequest) -> HttpResponse:
    """200 as long as this worker answers at all. It asks nobody: a restart mends no database."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """200 if this worker can serve: its pools have room and every database answers; else 503.

    A pool has room while its queue is at most half as long as it may get. The probe waits in that
    queue like any request, at most the pool timeout.
    """
    reasons = [reason for alias in connections if (reason := not_ready(alias))]
    if reasons:
        return JsonResponse({"ready": False, "reasons": reasons}, status=503)
    return JsonResponse({"ready": True})


def not_ready(alias: str) -> str | None:
    """Why requests that need the database `alias` should go elsewhere; None if they need not."""
    pool = mysql_pool.stats().get(alias)
    allowed = connections[alias].settings_dict["OPTIONS"].get("MAX_WAITING", 0)
    if pool and pool["waiting"] > allowed // 2:
        return (
            f"{alias}: {pool['in_use']} of {pool['max_conns']} connections are in use and "
            f"{pool['waiting']} requests wait (at most {allowed})"
        )
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    except DatabaseError as error:
        return f"{alias}: {error}"
    return None


def prometheus(request: HttpRequest) -> HttpResponse:
    """The pools' numbers, to whoever asks directly; 404 for what came through the proxy."""
    if "HTTP_X_FORWARDED_FOR" in request.META:
        return HttpResponse(status=404)
    content, content_type = metrics.render(request.headers.get("Accept", ""))
    return HttpResponse(content, content_type=content_type)


PROBES: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "/livez": livez,
    "/readyz": readyz,
    "/metrics": prometheus,
}
