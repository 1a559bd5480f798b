#!/usr/bin/python3
"""A recipe out of the documentation, so that what is documented is what is tested.

    recipe.py FILE NAME [OLD NEW]...

Prints the indented block behind the one line of FILE that ends with `NAME`: (in backquotes, with a
colon), each OLD replaced by NEW. A recipe that is not there, or there twice, and an OLD that is not
in it, are errors.
"""
import re
import sys
import textwrap


class RecipeError(Exception):
    pass


def block_behind(lines, at):
    block = []
    for line in lines[at + 1:]:
        if line and not line.startswith("    "):
            break
        block.append(line)
    return textwrap.dedent("\n".join(block)).strip("\n") + "\n"


def recipe(file, name, changes=()):
    with open(file, encoding="utf-8") as text:
        lines = text.read().splitlines()
    places = [at for at, line in enumerate(lines)
              if re.search(r"(^|\s)`" + re.escape(name) + "`:$", line)]
    if len(places) != 1:
        raise RecipeError(f"{file} has {len(places)} recipes `{name}`, not 1")
    block = block_behind(lines, places[0])
    if not block.strip():
        raise RecipeError(f"{file}: nothing indented behind `{name}`")
    for old, new in changes:
        if old not in block:
            raise RecipeError(f"{file}, `{name}`: no {old!r} in it")
        block = block.replace(old, new)
    return block


def main():
    if len(sys.argv) < 3 or len(sys.argv) % 2 == 0:
        sys.exit(__doc__)
    try:
        sys.stdout.write(recipe(sys.argv[1], sys.argv[2], zip(sys.argv[3::2], sys.argv[4::2])))
    except (OSError, RecipeError) as err:
        sys.exit(f"recipe: {err}")


if __name__ == "__main__":
    main()
