"""The connection-budget page: what is planned beside what is in force. Staff only."""

import os
from typing import Any

from django.conf import settings
from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

import mysql_pool
from ops.limits import rows
from ops.server import ask_server


@require_safe
@staff_member_required
def budget(request: HttpRequest) -> HttpResponse:
    """Every limit of the plan, the server's values, and the pools of the worker that answers."""
    live = ask_server()
    context: dict[str, Any] = {
        "plan": settings.PLAN,
        "live": live,
        "rows": rows(settings.PLAN, live),
        "pools": mysql_pool.stats(),
        "pid": os.getpid(),
    }
    return render(request, "ops/budget.html", context)
