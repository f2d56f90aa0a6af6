from django.urls import path

from . import views

urlpatterns = [
    path("", views.index),
    path("signed-in/<path:rest>", views.signed_in),
]
