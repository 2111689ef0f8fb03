"""A kind of contract for import-linter: these packages import the standard library, themselves and
what is named, and nothing else. The contracts themselves are in pyproject.toml.

import-linter's own `forbidden` needs a list of all that may not be imported, and the next library
that somebody reaches for is not in it.
"""

import sys
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyContract(Contract):
    """``packages`` import nothing but ``allowed``, themselves and the standard library.

    ``packages`` are root packages; ``allowed`` are names of root or third-party packages, or
    "a.module -> b" for what one module alone may import.
    """

    packages = fields.ListField(subfield=fields.StringField())
    allowed = fields.ListField(subfield=fields.StringField(), required=False, default=[])

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Look at every import of the packages; all that are wrong are reported."""
        # import-linter has put the lists of pyproject.toml in the fields' places.
        packages, allowed = cast(list[str], self.packages), set(cast(list[str], self.allowed))
        wrong, used = [], set[str]()
        for package in packages:
            for module in sorted({package, *graph.find_descendants(package)}):
                for imported in sorted(graph.find_modules_directly_imported_by(module)):
                    root = imported.partition(".")[0]
                    if root == package or root in sys.stdlib_module_names:
                        continue
                    exception = {root, f"{module} -> {root}"} & allowed
                    if exception:
                        used |= exception
                    else:
                        wrong.append(
                            graph.get_import_details(importer=module, imported=imported)[0]
                        )
        unused = sorted(allowed - used)
        return ContractCheck(
            kept=not wrong and not unused, metadata={"wrong": wrong, "unused": unused}
        )

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each wrong import with its place, and each permission that nobody needs."""
        for each in check.metadata["wrong"]:
            output.print_error(
                f"{each['importer']} may not import {each['imported']} "
                f"(line {each['line_number']}: {each['line_contents'].strip()})"
            )
        for name in check.metadata["unused"]:
            output.print_error(f"{name!r} is allowed, and nothing imports it: remove it.")
