"""Gunicorn under a connection budget: the plan is checked before it listens, gevent clients are
served in turn, and what is loaded is left out of garbage collections.

Not for settings: gunicorn.conf.py has them, and names what it takes from here.
"""
