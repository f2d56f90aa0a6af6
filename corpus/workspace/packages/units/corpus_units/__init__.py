"""Units of length, from a table beside this file."""
import tomllib
from importlib.resources import files

UNITS = tomllib.loads(files(__name__).joinpath("units.toml").read_text())


def metres(number, unit):
    return number * UNITS[unit]
