"""What came of a step, in a form that can be compared: a result, or an error's class and number."""

#: The connection is gone. Which of these a caller gets depends on how far the news had travelled,
#: with the stock backend too: 2006 and 2013 of the client, 1927 and 4031 of the server, and 0 of a
#: driver that knows by then.
LOST = {0, 2006, 2013, 2055, 1927, 4031}
LOST_ERROR = "the connection is lost"
#: What the pool's own refusals begin with; they have no number.
REFUSED = "mysql_pool: "


def outcome(function, *args) -> dict:
    """Call a function: ``{"result": …}`` or ``{"error": class, "number": …, "text": …}``."""
    try:
        return {"result": plain(function(*args))}
    except Exception as error:
        return failure(error)


def failure(error: BaseException) -> dict:
    """An error as it is compared; the text is only for people, and to know the pool's refusals."""
    first = error.args[0] if error.args else None
    number = first if isinstance(first, int) else None
    if number in LOST and type(error).__name__ in ("OperationalError", "InterfaceError"):
        return {"error": LOST_ERROR, "number": None, "text": str(error)[:300]}
    return {"error": type(error).__name__, "number": number, "text": str(error)[:300]}


def brief(of: dict) -> object:
    """An outcome inside of another: without the text, which is not compared."""
    return [of["error"], of["number"]] if "error" in of else of["result"]


def plain(value: object) -> object:
    """The value as JSON can carry it; what it cannot is told apart by its repr()."""
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return repr(value)
