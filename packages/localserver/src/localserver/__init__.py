"""A private MariaDB or MySQL server in a folder, for development and tests.  Never for production.

The server belongs to whoever started it: it listens on a Unix socket in the folder, reads no
configuration of the machine, and ends with the process that started it.  Standard library only,
so it works before anything is installed and can be copied into another project as it is.

    python -m localserver run -- COMMAND    start it, hand the connection to COMMAND, stop it
    from localserver.server import Server   the same from Python, as the tests do
"""
