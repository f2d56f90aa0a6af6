"""The command line, with the member and the path dependency that it leans on."""
import contextlib
import io
import unittest
from unittest import mock

from measure import cli


def say(*args):
    out = io.StringIO()
    with mock.patch("sys.argv", ["measure", *args]), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            cli.main()
        except SystemExit:
            pass
    return out.getvalue()


class TestMeasure(unittest.TestCase):
    def test_known_unit(self):
        self.assertEqual(say("2", "foot"), "2.0 foot is 0.6096 m\n")

    def test_unknown_unit(self):
        self.assertEqual(say("2", "parsec"), "no unit is called parsec\n")

    def test_version(self):
        self.assertEqual(say("--version"), "1.0\n")


if __name__ == "__main__":
    unittest.main()
