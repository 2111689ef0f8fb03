"""A number and its noun, as a sentence has them."""


def noun(number: int, nouns: str) -> str:
    """`nouns`, given in the plural ("hosts"), as it is written after `number`: "host" after 1.

    "processes" loses its "es". A unit without a plural ("s", "MiB") stays as it is.
    """
    if number != 1 or len(nouns) == 1:
        return nouns
    return nouns.removesuffix("es" if nouns.endswith("sses") else "s")


def count(number: int, nouns: str) -> str:
    """`number` and its noun, which is given in the plural: "1 host", "2 hosts"."""
    return f"{number} {noun(number, nouns)}"
