"""The connection-budget page: what is planned beside what is in force. Staff only."""

import os
from typing import Any

from django.conf import settings
from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

import mysql_pool
from ops.host import processes_or_reason
from ops.limits import rows
from ops.picture import picture
from ops.server import ask_server

REFRESH = 5  # seconds; `?refresh=off` stops it, for who reads slowly or hears the page


@require_safe
@staff_member_required
def budget(request: HttpRequest) -> HttpResponse:
    """Every limit of the plan, the server's values, and the pools of all processes of this host;
    without a ledger, those of the worker that answers."""
    live = ask_server()
    host, reason = processes_or_reason()
    refreshes = host is not None and request.GET.get("refresh") != "off"
    context: dict[str, Any] = {
        "plan": settings.PLAN,
        "live": live,
        "rows": rows(settings.PLAN, live),
        "host": host,
        "reason": reason,
        "picture": picture(settings.PLAN, live, host) if host else None,
        "refresh": REFRESH if refreshes else 0,
        "pools": mysql_pool.stats(),
        "pid": os.getpid(),
    }
    response = render(request, "ops/budget.html", context)
    if refreshes:
        response["Refresh"] = str(REFRESH)
    return response
