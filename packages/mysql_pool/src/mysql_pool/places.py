"""Places in a project's code, for the log: where a connection was taken, and where its holder is.

Costs nothing until something is to be told.
"""

import linecache
import os
from functools import lru_cache
from types import FrameType

#: File, line and function.
Place = tuple[str, int, str]

_HERE = os.path.join(os.path.dirname(__file__), "")
_NOT_THE_PROJECTS = (_HERE, "/django/db/", "/gevent/", "/pymysql/", "/MySQLdb/", "/threading.py")


@lru_cache(maxsize=1024)
def _is_the_projects(filename: str) -> bool:
    return not any(part in filename for part in _NOT_THE_PROJECTS)


def place(frame: FrameType | None) -> Place | None:
    """The innermost frame of the project's own code; cheap."""
    innermost = frame
    while frame is not None and not _is_the_projects(frame.f_code.co_filename):
        frame = frame.f_back
    frame = frame or innermost
    return (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name) if frame else None


def describe(where: Place) -> str:
    """The place and its line of code."""
    filename, number, name = where
    return f"{filename}:{number} in {name}: {linecache.getline(filename, number).strip()}"
