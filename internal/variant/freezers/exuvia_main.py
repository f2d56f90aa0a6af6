"""Lets a compiled module be __main__, which no loader can do for it.

compiling.py puts a line at the start of each module that an entry point runs:
it takes its name from here.
"""
import importlib
import sys

module = None  # that runs as __main__
alias = "__main__"


def name(own):
    """The name that the module of this name is to have."""
    if own != module:
        return own
    this = sys.modules["__main__"] = sys.modules[alias] = sys.modules[own]
    # It is imported for as long as the program runs: else threads that import
    # it, to pickle what it defines, would wait for that.
    this.__spec__._initializing = False
    return alias


def run(main, as_name="__main__"):
    """Runs a module as __main__; multiprocessing's children call it __mp_main__."""
    global module, alias
    module, alias = main, as_name
    importlib.import_module(main)


def child(main):
    """Takes the place of multiprocessing.spawn._fixup_main_from_name."""
    if sys.modules["__main__"] is not sys.modules.get(main):
        run(main, "__mp_main__")
