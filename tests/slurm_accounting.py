"""A Slurm cluster of the tests with accounting: slurmdbd on a MariaDB of its own."""

import secrets
from pathlib import Path

from tests.ports import Reservation
from tests.slurm_cluster import Cluster
from tests.waiting import wait_until

SLURM_CONF = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={slurmdbd}
AccountingStoragePass={path}/munge.socket
AccountingStorageEnforce=associations,limits,qos
"""
SLURMDBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={path}/munge.socket
DbdHost=localhost
DbdPort={slurmdbd}
SlurmUser=root
LogFile={path}/slurmdbd.log
PidFile={path}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={mariadbd}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
"""
FIRST_SQL = "CREATE USER slurm@127.0.0.1 IDENTIFIED BY '{password}';\n"
FIRST_SQL += "GRANT ALL ON *.* TO slurm@127.0.0.1;\n"


class AccountedCluster(Cluster):
    """It refuses jobs of accounts that it does not know; `physics` is one that root may use."""

    def __init__(self, path: Path, **settings: object) -> None:
        super().__init__(path, **settings)
        self._dbd, self._db = Reservation(), Reservation()
        values = {
            "path": path,
            "slurmdbd": self._dbd.port,
            "mariadbd": self._db.port,
            "password": secrets.token_hex(),
        }
        with self.conf.open("a") as file:
            file.write(SLURM_CONF.format(**values))
        for name, text in (("slurmdbd.conf", SLURMDBD_CONF), ("first.sql", FIRST_SQL)):
            (path / name).touch(0o600)
            (path / name).write_text(text.format(**values))

    def start_munge(self) -> None:
        super().start_munge()
        self._start_database()
        self._run("slurmdbd", "slurmdbd", "-D")
        wait_until(self._has_account, 120)

    def _start_database(self) -> None:
        data = f"--datadir={self.path}/mariadb"
        self.tool("mariadb-install-db", "--no-defaults", "--user=root", data)
        here = ("--bind-address=127.0.0.1", "--skip-name-resolve", f"--port={self._db.port}")
        files = (f"--socket={self.path}/mariadb.socket", f"--init-file={self.path}/first.sql")
        options = ("--no-defaults", "--user=root", data, *here, *files)
        self._run("mariadbd", "mariadbd", *options)

    def _has_account(self) -> bool:
        """Make the account, as soon as there is somebody who can."""
        self._check_daemons()
        add = ("sacctmgr", "--immediate", "add")
        self.tool(*add, "cluster", "test", check=False)
        self.tool(*add, "account", "physics", check=False)
        self.tool(*add, "user", "root", "account=physics", check=False)
        found = self.tool("sacctmgr", "-nP", "show", "assoc", "format=account,user", check=False)
        return "physics|root" in found

    def close(self) -> None:
        super().close()
        for reservation in (self._dbd, self._db):
            reservation.close()
