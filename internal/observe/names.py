"""Tells the tracer which modules Python imports, also those it does not find.

It is found as sitecustomize, and gives way to the one that the app has.
"""
import os
import sys


def tell(event, args):
    if event == "import" and args and isinstance(args[0], str):
        os.access("/run/exuvia/observe/import/" + args[0], os.F_OK)


def give_way():
    own = os.path.dirname(__file__)
    sys.path[:] = [p for p in sys.path if p != own]
    sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize
    except ImportError as e:
        if e.name != "sitecustomize":
            raise


for name in list(sys.modules):
    tell("import", [name])
sys.addaudithook(tell)
give_way()
