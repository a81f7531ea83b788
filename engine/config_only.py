"""What a configuration-only backup takes of a deployment, and what its levels are called.

Rule: pure. Its levels are those of a deployment of their own, whose name tells whose configuration they are.
"""

from msgspec.structs import replace

from .deployment import ConfigTables, Deployment
from .errors import ConfigError
from .hooks import NO_HOOKS
from .levels import CONFIG_SUFFIX
from .topology import host_of_database


def configuration_of(deployment: Deployment) -> Deployment:
    """What a configuration-only backup takes: the file sets that are configuration, settings and tables, under a name
    of its own, so that groups and levels of the whole deployment go on by themselves. No hooks: nothing is stopped for
    it.

    Raises ConfigError where nothing is configuration.
    """
    sets = tuple(each for each in deployment.file_sets if each.configuration)
    database = deployment.database
    if not sets and database is None:
        raise ConfigError(
            f"nothing of deployment {deployment.name} is configuration",
            file=deployment.source,
            hint="write configuration = true in its file sets, or config-tables in [postgres]",
        )
    tables = None
    if database is not None:
        host = host_of_database(deployment.topology, database)
        tables = ConfigTables(database.dsn, database.config_tables, host)
    name = deployment.name + CONFIG_SUFFIX
    return replace(deployment, name=name, file_sets=sets, database=None, tables=tables, hooks=NO_HOOKS)
