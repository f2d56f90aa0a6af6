from django.db import models


class Note(models.Model):
    text = models.CharField(max_length=200)
    when = models.DateTimeField()

    class Meta:
        ordering = ["pk"]

    def __str__(self):
        return self.text
