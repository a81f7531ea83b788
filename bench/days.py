"""The command `bench days`: a phantom deployment backed up every day, files and database, the old way and ours.

    a full backup, then a day's changes and an incremental, each day; another full backup every seventh day; three
    groups are kept. `silt` does both in one backup. Beside it, as far as they are there: tar with pgBackRest, restic
    with pgBackRest. At the end the newest level is restored and compared, and the database recovered.

Rule: all back up the same state in turn, in another order each day. Where files or rows of `silt` are not what they
were, the measurement fails. The WAL of a day is archived to each tool before its backup; sizes hold it, times do not.
Scale 1 is 20 GiB in 300,000 files and 5 GiB of database, with stores and copies of some 150 GiB.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from bench.appliance import Appliance
from bench.attachments import USUAL, WORST
from bench.daily import Daily
from bench.day_table import DayTable
from bench.day_ways import RESTIC, backrest, file_ways, silt_of
from bench.machine import describe
from bench.pg_cluster import Cluster, hand_over
from bench.table import origin, write_place
from bench.tools import OURS, find_tools

SCALE = 0.02
DATABASE = 5.7  # of pg_cluster's, at scale 1: 5 GiB
PLACE = "days"


def measure_days(
    work: Path, scale: float, days: int, share: float, bin_folder: Path | None, *, attachments: str = USUAL
) -> Daily:
    """Make the deployment, live through the days, restore. BenchError when `silt` fails."""
    hand_over(work)
    work.chmod(0o755)
    print("days: making the deployment", flush=True)
    appliance = Appliance(work / "top", attachments=attachments)
    appliance.make(scale)
    cluster = Cluster(work / "cluster")
    try:
        cluster.make(scale * DATABASE)
        daily = Daily(
            appliance, cluster, work, silt_of(appliance.top, bin_folder), backrest(bin_folder), file_ways(bin_folder)
        )
        daily.run(days, share)
    finally:
        cluster.go_on_archiving()
        cluster.remove()
    return daily


def _versions(bin_folder: Path | None) -> list[str]:
    said = [tool.version() for tool in find_tools([], bin_folder) if tool.name in (OURS, RESTIC.name)]
    database = backrest(bin_folder)
    return said if database is None else [*said, database.version()]


def main(arguments: list[str]) -> int:
    """Measure, print, write the place `days`."""
    parser = argparse.ArgumentParser(prog="./dev bench days", description=__doc__)
    parser.add_argument("--scale", type=float, default=SCALE, help="of the data (default: %(default)s)")
    parser.add_argument("--days", type=int, default=30, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.02, help="of files and rows, a day (default: %(default)s)")
    parser.add_argument("--attachments", choices=(USUAL, WORST), default=USUAL, help="see attachments.py")
    parser.add_argument("--bin", type=Path, metavar="DIR", help="where the tools are looked for first")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to write (default: the temporary folder)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    given = parser.parse_args(arguments)
    if given.scale <= 0 or given.days < 1 or not 0 < given.share <= 1:
        parser.error("--scale and --days are above 0, --share is up to 1")
    if given.work:
        given.work.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="silt-days-", dir=given.work))
    try:
        daily = measure_days(work, given.scale, given.days, given.share, given.bin, attachments=given.attachments)
        machine = describe(work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    command = f"./dev bench days --scale {given.scale:g} --days {given.days} --share {given.share:g}"
    command += "" if given.attachments == USUAL else f" --attachments {given.attachments}"
    lines = [origin(machine, command, _versions(given.bin)), "", *DayTable(daily).lines()]
    print("\n".join(["", *lines]))
    if given.write:
        write_place(given.write, PLACE, lines)
    return 0
