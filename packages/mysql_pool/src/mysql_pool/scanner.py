"""Cuts the text of a statement into tokens; literals and comments are taken away. No judgement.

A token is a string: a word in capitals, ``'`` for a literal of any kind, a quoted identifier with
its backticks, ``@`` for a user variable, ``@@NAME`` for a system variable, a single character of
anything else, `EXECUTABLE` where a comment begins that the server executes, and `UNREADABLE` where
a literal or a comment has no end. What is in an executable comment follows as tokens.

The rules of the text are those of "Lexical Structure" in the MySQL and MariaDB manuals. What the
text means depends on the session's ``sql_mode``: under NO_BACKSLASH_ESCAPES a literal ends at
another place. `readings` gives both where they differ.
"""

import re

LITERAL = "'"
USER_VARIABLE = "@"
EXECUTABLE = "/*!"
UNREADABLE = "?"
#: A literal with a ``%s`` in it: if arguments are put in, it may end elsewhere.
OPEN_LITERAL = "'%s"

_QUOTED = {
    True: r"'(?:[^'\\]|\\.|'')*'" r'|"(?:[^"\\]|\\.|"")*"',
    False: r"'(?:[^']|'')*'" r'|"(?:[^"]|"")*"',
}


def _pattern(backslash: bool) -> re.Pattern[str]:
    name = r"[\w$]+|`(?:[^`]|``)*`"
    return re.compile(
        r"(?P<nothing>\s+"
        r"|\#[^\n]*"
        # Two dashes are a comment only with a space or a control character (or nothing) behind.
        r"|--(?=[\x00-\x20]|\Z)[^\n]*"
        r"|/\*(?!M?!).*?\*/"
        r"|\*/)"
        r"|(?P<executable>/\*M?!\d*)"
        # Rows of placeholders are one token: bulk statements have thousands of them.
        r"|(?P<row>(?:\(\s*%s\s*(?:,\s*%s\s*)*\)[\s,]*)+)"
        rf"|(?P<literal>{_QUOTED[backslash]}|%s|%\([^)]*\)s)"
        rf"|(?P<system>@@(?:(?:GLOBAL|SESSION|LOCAL|PERSIST|PERSIST_ONLY)\s*\.\s*)?(?:{name})"
        rf"(?:\s*\.\s*(?:{name}))?)"
        rf"|(?P<user>@(?:[\w$.]+|`(?:[^`]|``)*`|{_QUOTED[backslash]}))"
        rf"|(?P<quoted>`(?:[^`]|``)*`)"
        r"|(?P<word>[\w$]+)"
        r"|(?P<broken>['\"`]|/\*)"
        r"|(?P<other>.)",
        re.DOTALL | re.IGNORECASE,
    )


_PATTERNS = {backslash: _pattern(backslash) for backslash in (True, False)}
_PLACEHOLDER = re.compile(r"(?<!%)(?:%%)*%(?:s|\()")
_SCOPE = re.compile(r"@@(?:(?:GLOBAL|SESSION|LOCAL|PERSIST|PERSIST_ONLY)\s*\.\s*)?", re.IGNORECASE)


def tokens(sql: str, backslash: bool = True) -> list[str]:
    """The tokens of ``sql``; ``backslash`` says whether a backslash escapes in a literal."""
    found = []
    for match in _PATTERNS[backslash].finditer(sql):
        kind = match.lastgroup
        if kind == "word":
            found.append(match[0].upper())
        elif kind == "nothing":
            continue
        elif kind == "literal":
            is_open = len(match[0]) > 2 and _PLACEHOLDER.search(match[0], 1) is not None
            found.append(OPEN_LITERAL if is_open else LITERAL)
        elif kind == "row":
            found += ("(", LITERAL, ")")
        elif kind == "user":
            found.append(USER_VARIABLE)
        elif kind == "system":
            found.append("@@" + _SCOPE.sub("", match[0]).replace("`", "").upper())
        elif kind == "executable":
            found.append(EXECUTABLE)
        elif kind == "broken":
            # The rest of the text may be inside of it.
            found.append(UNREADABLE)
            break
        else:  # a quoted identifier, or a single character
            found.append(match[0])
    return found


def readings(sql: str) -> list[list[str]]:
    """The tokens of ``sql``, twice if a backslash in it may or may not escape."""
    first = tokens(sql)
    return [first, tokens(sql, backslash=False)] if "\\" in sql else [first]


def split(sql: str) -> list[str]:
    """The statements of a text, cut at each ``;`` outside of literals and comments."""
    statements, start = [], 0
    for match in _PATTERNS[True].finditer(sql):
        if match[0] == ";":
            statements.append(sql[start : match.start()])
            start = match.end()
    return [one.strip() for one in [*statements, sql[start:]] if one.strip()]
