from django.core.management import call_command
from django.core.management.base import BaseCommand

from notes.models import Note


class Command(BaseCommand):
    help = "Counts the notes in a new database."

    def handle(self, **options):
        call_command("migrate", verbosity=0)
        self.stdout.write(self.style.SUCCESS(f"{Note.objects.count()} notes"))
