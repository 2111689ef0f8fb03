"""Pages for the people who run the site, below /ops/."""

from django.urls import path
from django.views.generic import RedirectView

from ops import views

app_name = "ops"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="ops:budget")),
    path("budget/", views.budget, name="budget"),
]
