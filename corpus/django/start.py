"""Prepares the database and the static files, then becomes the server."""
import os
import sys

import django
from django.core.management import call_command

if __name__ == "__main__":
    if "--help" in sys.argv:
        print(__doc__)
        sys.exit()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "diary.settings")
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    os.execvp("gunicorn", ["gunicorn", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "diary.wsgi"])
