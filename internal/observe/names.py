"""Tells the tracer which modules Python imports, also those it does not find.

It is found as sitecustomize, and gives way to the one that the app has: give_way()
is from package python.
"""
import os
import sys


def tell(event, args):
    if event == "import" and args and isinstance(args[0], str):
        os.access("/run/exuvia/observe/import/" + args[0], os.F_OK)


for name in list(sys.modules):
    tell("import", [name])
sys.addaudithook(tell)
give_way()
