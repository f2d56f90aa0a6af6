"""Does tasks, each in a forked child of its own, so that none can hang or break
the others. A task may run others, in children of its child. It uses built-in
modules only: a task that looks at what is added to sys.modules sees nothing of
it. Runs on Python 3.9 and newer.
"""
import marshal
import os
import time

SIGKILL = 9

own = None  # file for the answer of the task that this process does


def child(task, part):
    global own
    own = part
    os.setsid()  # with the processes that it starts, to be stopped together
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    result = task()
    with open(part, "wb") as f:
        f.write(marshal.dumps(result))


def start(task, part):
    open(part, "wb").close()
    pid = os.fork()
    if pid == 0:
        try:
            child(task, part)
        finally:
            os._exit(0)  # skip exit handlers of what the task has imported
    return pid


def stop(pid):
    for kill in (os.killpg, os.kill):  # it may not have come to its own group yet
        try:
            kill(pid, SIGKILL)
        except ProcessLookupError:
            pass


def finish(status, part):
    try:
        with open(part, "rb") as f:
            return marshal.loads(f.read())
    except (OSError, EOFError, ValueError, TypeError):
        signal = status & 127
        return {"error": "died of signal %d" % signal if signal else "ended without an answer"}
    finally:
        os.unlink(part)


def run(tasks, workers, limit, out):
    """What each of the tasks, which are functions by name, gives: what marshal
    can write, or {"error": text}. So many workers are at it, in the order of the
    names, none for more than limit seconds, not counting those in which it runs
    tasks itself. Out is a directory for their answers.
    """
    waiting, running, results = sorted(tasks, reverse=True), {}, {}
    while waiting or running:
        while waiting and len(running) < workers:
            name = waiting.pop()
            part = os.path.join(out, "part-%d-%d" % (os.getpid(), len(waiting)))
            running[start(tasks[name], part)] = (name, part, time.monotonic(), 0)
        for pid, (name, part, begin, beat) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            touched = os.stat(part).st_mtime_ns
            if done:
                results[name] = finish(status, part)
            elif touched != beat:
                running[pid] = (name, part, time.monotonic(), touched)
                continue
            elif time.monotonic() - begin > limit:
                stop(pid)
                os.waitpid(pid, 0)
                finish(0, part)
                results[name] = {"error": "not done after %d s" % limit}
            else:
                continue
            del running[pid]
        if own:
            os.utime(own)  # this process is not stuck: those it waits for are limited
        time.sleep(0.003)
    return results
