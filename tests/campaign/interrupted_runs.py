"""`make smoke` killed at random moments and while it writes, run twice at once, and on a disk that is full: run on, it
ends with the same numbers as undisturbed, and nothing lies about.

Each run is made in a clone of its own. The disk is a memory file system of its own, which needs root; without it that
part is left out.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from report import write_report

from xtalsight.store import load_json
from xtalsight.study.profiles import root
from xtalsight.study.report import MEASURED


class Study:
    """A clone, in which `make smoke` runs."""

    def __init__(self, folder: Path):
        self.folder = folder
        subprocess.run(["git", "clone", "--quiet", root(), folder], check=True)

    def start(self) -> subprocess.Popen:
        """Begin, or go on, in a group of processes of its own."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
        environment |= {"PYTHONPATH": str(self.folder / "lib")}
        command = ["make", "smoke", "ENV=", f"PY={sys.executable}"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def finish(self):
        assert self.start().wait() == 0, self.log()[-2000:]

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def is_writing(self) -> bool:
        return any((self.folder / "build").rglob(".*-*/.in-use"))

    def numbers(self) -> dict:
        results = load_json(self.folder / "build" / "smoke" / "report" / "results.json")
        return {key: value for key, value in results.items() if not MEASURED.search(key)}

    def left_about(self) -> list[Path]:
        """Hidden and temporary files below build/."""
        return [path for path in (self.folder / "build").rglob(".*") if path.name != ".ipynb_checkpoints"]


def kill(process):
    """And wait for its kernels, which have groups of their own and notice after a second."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(3)


def killed(study, times, dice) -> int:
    """Kill the run so many times, each second one while it writes; return how often it was still running then."""
    hits = 0
    for number in range(times):
        process = study.start()
        end = time.monotonic() + dice.uniform(3, 45)
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        end = time.monotonic() + 30
        while number % 2 and process.poll() is None and not study.is_writing() and time.monotonic() < end:
            time.sleep(0.001)
        if process.poll() is not None:
            break  # it has finished
        hits += 1
        kill(process)
        print(f"killed {number + 1} of {times}", flush=True)
    study.finish()
    return hits


def second_says_who_runs(study) -> bool:
    """Whether a second `make smoke` beside a first ends with a sentence; the first is killed then."""
    first = study.start()
    time.sleep(8)
    second = study.start()
    status = second.wait(timeout=60)
    told = re.search(r"error: process \d+ is running \w+ \(smoke\)", study.log())
    kill(first)
    return status != 0 and told is not None


@contextmanager
def small_disk(folder, megabytes):
    """A file system in memory, so large; yields a function that makes it larger."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)
    try:
        yield lambda more: subprocess.run(["mount", "-o", f"remount,size={more}m", folder], check=True)
    finally:
        subprocess.run(["umount", folder], check=True)


def on_full_disks(study, sizes) -> tuple[int, dict, list]:
    """Run on disks of growing size until each is full; return how often a clear sentence said so, the numbers in the
    end, and what is left about."""
    told = 0
    with small_disk(study.folder / "build", sizes[0]) as enlarge:
        for size in sizes:
            enlarge(size)
            before = len(study.log()) if (study.folder / "log").exists() else 0
            status = study.start().wait()
            lines = [line for line in study.log()[before:].splitlines() if line.startswith("error:")]
            told += status != 0 and any("No space left on device" in line for line in lines)
            print(f"{size} MB: status {status}: {lines[:1]}", flush=True)
        enlarge(4000)
        study.finish()
        return told, study.numbers(), study.left_about()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=16)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        undisturbed, disturbed, full = (Study(Path(folder, name)) for name in ("undisturbed", "disturbed", "full"))
        undisturbed.finish()
        expected, strays = undisturbed.numbers(), undisturbed.left_about()
        says = second_says_who_runs(disturbed)
        hits = killed(disturbed, arguments.kills, np.random.default_rng(arguments.seed))
        numbers = disturbed.numbers()
        differing = sorted(key for key in expected if numbers.get(key) != expected[key])
        strays += disturbed.left_about()
        found = {
            "kills": hits,
            "numbers": len(expected),
            "numbers that differ after them": len(differing),
            "stray files": len(strays),
            "of two runs at once the second says who is running": "yes" if says else "no",
        }
        is_well = says and not differing and not strays
        if os.geteuid() == 0:
            used = (
                sum(path.stat().st_size for path in (undisturbed.folder / "build").rglob("*") if path.is_file()) / 1e6
            )
            sizes = [max(1, int(share * used)) for share in (0.02, 0.15, 0.3, 0.5, 0.75)]
            told, numbers, left = on_full_disks(full, sizes)
            wrong = [key for key in expected if numbers.get(key) != expected[key]]
            found |= {
                "full disks": len(sizes),
                "said in a sentence": told,
                "numbers that differ after these": len(wrong),
            }
            is_well &= told == len(sizes) and not wrong and not left
            differing += wrong
            strays += left
    print(*differing[:40], *strays[:20], sep="\n")
    write_report("Interrupted runs", found)
    sys.exit(int(not is_well))


if __name__ == "__main__":
    main()
