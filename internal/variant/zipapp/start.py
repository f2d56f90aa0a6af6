

def main():
    """Runs the entry point whose name was called, as it runs beside its sources."""
    here = os.path.dirname(os.path.abspath(__file__))
    entry = ENTRIES.get(os.path.basename(sys.argv[0])) or next(iter(ENTRIES.values()))
    sys.argv[0] = entry["argv0"]
    sys.path.insert(0, os.path.join(here, "exuvia-app", entry["dir"]))
    # A Python that the app starts has to find the same modules.
    own = [p for p in sys.path if os.path.isdir(p) and not p.startswith(sys.base_prefix + os.sep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(own)
    if entry["kind"] == "module":
        runpy._run_module_as_main(entry["module"], alter_argv=False)
    elif entry["kind"] == "function":
        function = importlib.import_module(entry["module"])
        for name in entry["function"].split("."):
            function = getattr(function, name)
        sys.exit(function())
    else:
        runpy.run_path(os.path.join(here, "exuvia-bin", entry["script"]), run_name="__main__")
