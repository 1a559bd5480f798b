#!/usr/bin/python3
"""The suite of `make test-brokers`, with the one broker that `make test` has anyway; and what of it
can be wrong without any broker: recipes that are not there, a table that lacks a check."""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "brokers")]

from brokers import BROKERS, DOC                # noqa: E402
from cannot import CANNOT                       # noqa: E402
from checks import CHECKS                       # noqa: E402
from recipe import RecipeError, recipe          # noqa: E402

TEXT = """A config, `one`:

    a = 1
      b = 2

    c = 3

and `not this` one: it has text behind it. Then `twice`:

    x

and `twice`:

    y

`empty`:
"""


class Recipes(unittest.TestCase):
    def take(self, name, *changes):
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(TEXT)
            file.flush()
            return recipe(file.name, name, changes)

    def test_block(self):
        self.assertEqual(self.take("one"), "a = 1\n  b = 2\n\nc = 3\n")

    def test_changes(self):
        self.assertEqual(self.take("one", ("a = 1", "a = 9"), ("c", "d")),
                         "a = 9\n  b = 2\n\nd = 3\n")

    def test_refused(self):
        for name, *changes in (("none",), ("not this",), ("twice",), ("empty",),
                               ("one", ("nothing of it", "x"))):
            with self.assertRaises(RecipeError, msg=name):
                self.take(name, *changes)


class Table(unittest.TestCase):
    def test_doc_and_cannot_agree(self):
        """Every cell: what is not measured here at least says the same in both places."""
        rows = [[cell.strip() for cell in line.strip("|").split("|")]
                for line in DOC.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
        self.assertEqual([cell.split()[0] for cell in rows[0]], ["check", *BROKERS])
        self.assertEqual(rows[1:], [
            [title, *("cannot" if (name, title) in CANNOT else "ok" for name in BROKERS)]
            for title, _ in CHECKS])

    def test_every_cannot_is_a_cell(self):
        titles = {title for title, _ in CHECKS}
        for name, title in CANNOT:
            self.assertIn(name, BROKERS)
            self.assertIn(title, titles)


class Suite(unittest.TestCase):
    def test_mosquitto(self):
        result = subprocess.run([HERE / "brokers/run", "mosquitto"], text=True, check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        found = re.search(r"^(\d+) passed, 0 failed$", result.stdout, re.M)
        self.assertTrue(found and result.returncode == 0, "\n" + result.stdout)
        self.assertEqual(int(found.group(1)), len(CHECKS))


if __name__ == "__main__":
    unittest.main()
