"""PostgreSQL over its own protocols: base backups, WAL, and their restore.

Rule: nothing is installed on the database's host and no external program is run; libpq is reached through `psycopg.pq`
alone. Modules here import each other relatively, the engine from `..`, and the store through its front door.
"""
