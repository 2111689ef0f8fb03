"""How a failed request is logged: its exception in one line, to be counted."""

import logging

MARK = "FAILED "


class LastLine(logging.Formatter):
    """No traceback: thousands of them would be what is measured."""

    def format(self, record):
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return record.getMessage()
        return f"{MARK}{type(error).__name__}: {error}".splitlines()[0][:200]
