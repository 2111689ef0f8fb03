"""The connection budget: every limit of the project and its database server, from one file.

budget.toml -> `source.load` -> `plan.Budget` -> `plan.plan` -> `plan.Plan`. Standard library only,
so that Gunicorn's configuration, a deployment tool and a bare `python -m budget` can use it.
"""
