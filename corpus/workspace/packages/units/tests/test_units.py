"""The member's own table."""
import unittest

from corpus_units import UNITS, metres


class TestUnits(unittest.TestCase):
    def test_twelve_inches_are_a_foot(self):
        self.assertAlmostEqual(metres(12, "inch"), metres(1, "foot"))

    def test_no_such_unit(self):
        self.assertRaises(KeyError, metres, 1, "parsec")

    def test_all_have_a_length(self):
        for unit in UNITS:
            with self.subTest(unit):
                self.assertGreater(metres(1, unit), 0)


if __name__ == "__main__":
    unittest.main()
