"""A worker that gives itself work as soon as it is ready, and then ends."""
import os
import signal
import threading

from celery import Celery, group
from celery.signals import worker_ready

os.makedirs("/tmp/results", exist_ok=True)
app = Celery("tasks")
app.config_from_object("celeryconfig")


@app.task
def add(x, y):
    return x + y


@app.task(throws=ValueError)
def fail():
    raise ValueError("as asked")


@worker_ready.connect
def begin(**_):
    threading.Thread(target=ask).start()


def ask():
    options = {"timeout": 25, "disable_sync_subtasks": False}  # this thread is no task
    try:
        print("add:", add.delay(2, 3).get(**options), flush=True)
        print("group:", group(add.s(i, i) for i in range(3))().get(**options), flush=True)
        fail.delay().get(**options)
    except ValueError as error:
        print("fail:", error, flush=True)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
