"""`make demo`: a fresh project under real load, judged by its database server's counters.

project     generates and runs it, as its new owner would
load        sends requests with `hey`
observer    asks the database server what it sees
checkout    times the pool from inside the project
summary     the verdict
"""
