import os
import sys


def give_way():
    """Lets the sitecustomize run that there is without this one."""
    own = os.path.dirname(__file__)
    sys.path[:] = [p for p in sys.path if p != own]
    sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize
    except ImportError as e:
        if e.name != "sitecustomize":
            raise


