"""Prepares the database of a cluster's MLflow server: an init container runs this before the server starts.

Run as ``python -m loopline.components.registry.server_database`` with the server's own settings in the environment:
``MLFLOW_AUTH_CONFIG_PATH``, the accounts of the administrator and of the pipelines, and PG* for PostgreSQL. It is
idempotent, and replicas that start together take turns.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy
from mlflow.exceptions import MlflowException
from mlflow.server.auth.config import read_auth_config
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.db.utils import _safe_initialize_tables, _upgrade_db

from loopline.components.errors import LooplineError

# Key of the PostgreSQL advisory lock; any number will do if all replicas use the same.
LOCK = 7_021_013


@dataclass(frozen=True)
class Account:
    """A user account of MLflow."""

    username: str
    password: str
    is_admin: bool


def accounts(environment: Mapping[str, str]) -> list[Account]:
    """The accounts of the administrator and of the pipelines, from the environment.

    Raises:
        LooplineError: a variable is missing or empty, or both accounts are the same.
    """
    administrator = _account(environment, "MLFLOW_AUTH_ADMIN", is_admin=True)
    pipelines = _account(environment, "MLFLOW_TRACKING", is_admin=False)
    if administrator.username == pipelines.username:
        raise LooplineError(
            f"pipelines may not use MLflow's administrator '{administrator.username}'; "
            "give MLFLOW_TRACKING_USERNAME in Secret loopline-mlflow another name"
        )
    return [administrator, pipelines]


def prepare(uri: str, wanted: list[Account]) -> None:
    """Migrate a server's tables to this version of MLflow, and create or update accounts.

    Args:
        uri: SQLAlchemy URI of the database, which holds runs, models and accounts.
        wanted: the accounts to create or update; others stay as they are.

    Raises:
        LooplineError: the database cannot be reached, or MLflow refuses an account.
    """
    engine = sqlalchemy.create_engine(uri)
    try:
        with _locked(engine):
            _safe_initialize_tables(engine)
            _upgrade_db(engine)
            store = SqlAlchemyStore()
            store.init_db(uri)
            for account in wanted:
                _ensure(store, account)
    except sqlalchemy.exc.OperationalError as error:
        raise LooplineError(
            f"MLflow's database does not answer ({_first_line(error)}); "
            "check ConfigMap loopline-database and Secret loopline-mlflow-server"
        ) from error
    except MlflowException as error:
        raise LooplineError(f"MLflow refuses an account: {_first_line(error)}") from error
    finally:
        engine.dispose()


def _ensure(store: SqlAlchemyStore, account: Account) -> None:
    if not store.has_user(account.username):
        store.create_user(account.username, account.password, is_admin=account.is_admin)
    elif not store.authenticate_user(account.username, account.password):
        store.update_user(account.username, password=account.password)


@contextmanager
def _locked(engine: sqlalchemy.Engine) -> Iterator[None]:
    """Hold an advisory lock in PostgreSQL, where replicas may start together; SQLite has one user only."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sqlalchemy.text("select pg_advisory_lock(:lock)"), {"lock": LOCK})
        yield


def _account(environment: Mapping[str, str], prefix: str, *, is_admin: bool) -> Account:
    username, password = (_required(environment, f"{prefix}_{part}") for part in ("USERNAME", "PASSWORD"))
    return Account(username, password, is_admin=is_admin)


def _required(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise LooplineError(f"{name} is not set; on a cluster it comes from a Secret of the MLflow server")
    return environment[name]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def main() -> int:
    """Prepare the database named by the server's settings."""
    try:
        prepare(read_auth_config().database_uri, accounts(os.environ))
    except LooplineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
