"""A number and its noun, as a sentence has them."""


def noun(number: int, nouns: str) -> str:
    """`nouns`, given in the plural ("hosts"), as it is written after `number`: "host" after 1.

    A unit without a plural ("s", "MiB") stays as it is.
    """
    return nouns.removesuffix("s") if number == 1 and len(nouns) > 1 else nouns


def count(number: int, nouns: str) -> str:
    """`number` and its noun, which is given in the plural: "1 host", "2 hosts"."""
    return f"{number} {noun(number, nouns)}"
