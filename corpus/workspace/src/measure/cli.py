"""Says lengths in metres."""
import argparse
from importlib.metadata import version

from corpus_texts import text
from corpus_units import metres


def main():
    parser = argparse.ArgumentParser(prog="measure", description=__doc__)
    parser.add_argument("number", type=float)
    parser.add_argument("unit")
    parser.add_argument("--version", action="version", version=version("corpus-workspace"))
    args = parser.parse_args()
    try:
        print(text("result").format(args.number, args.unit, metres(args.number, args.unit)))
    except KeyError:
        parser.exit(1, text("unknown").format(args.unit) + "\n")
