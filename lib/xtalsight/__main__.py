"""Command line: ``xtalsight classify FILE…``, ``xtalsight map FILE`` and ``xtalsight learn FOLDER``; ``python -m
xtalsight`` does the same."""

import argparse
import json
import logging
import os
import sys
from collections import deque
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from threading import Thread

import joblib
from ase.spacegroup import Spacegroup
from tqdm import tqdm

from xtalsight.classify import classify_many, prototype_files, read_structures
from xtalsight.crystals import CLASSES

_BESIDE = (".grains.csv", ".neighbours.csv", ".png")  # endings of what `map` writes beside the annotated structure
_PATIENCE = 8  # seconds, with a scheduler


def _printable(text):
    """In one line, whatever characters a file name has."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def _complain(message):
    print(f"error: {_printable(message)}", file=sys.stderr)


def _network_exists(folder):
    """Whether there is such a network; if not, say so."""
    try:
        prototype_files(folder)
    except ValueError as error:
        _complain(error)
        return False
    return True


@contextmanager
def _on(scheduler):
    """Let the workers of a dask scheduler compute, if one is named."""
    if scheduler is None:
        yield
        return
    with _client_of(scheduler) as client, joblib.parallel_config(backend="dask", client=client):
        if not client.nthreads():
            print(f"{scheduler} has no workers yet: waiting for them", file=sys.stderr)
        yield


def _client_of(scheduler):
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError(
            '--scheduler needs dask.distributed, which is not installed (pip install "xtalsight[cluster]")'
        ) from error
    for name in ("distributed.client", "distributed.utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what they log of a lost connection is said in a sentence
    clients = []

    def connect():
        with suppress(Exception):  # of what answers and is no scheduler any may come
            clients.append(Client(scheduler, timeout=_PATIENCE))

    # In a thread: dask waits for ever for the greeting of what is no scheduler and keeps silent.
    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_PATIENCE + 2)
    if not clients:
        raise ValueError(f"no scheduler of dask answers at {scheduler!r}")
    return clients[0]


def classify_files(
    files, as_json: bool, network=None, every: int = 1, jobs: int = -1, scheduler: str | None = None
) -> int:
    """Print the answer for each `every`-th frame of each file; return 1 if a file failed, 2 if there is no such
    network, else 0."""
    if not _network_exists(network):
        return 2
    failed, progress = 0, None
    try:
        with _on(scheduler):
            for n, result in enumerate(_answers(files, network, every, jobs)):
                if n == 1:
                    progress = tqdm(initial=1, unit=" frames", desc="classify", disable=None)  # on a terminal
                with tqdm.external_write_mode():
                    if isinstance(result, str):
                        failed = 1
                        _complain(result)
                    else:
                        print(json.dumps(result, ensure_ascii=False) if as_json else _text(result), flush=True)
                if progress is not None:
                    progress.update()
    except (ValueError, OSError) as error:
        failed = 1
        _complain(error)
    finally:
        if progress is not None:
            progress.close()
    return failed


def _answers(files, network, every, jobs):
    """Yield for each frame a result, or a sentence that says why there is none, in their order."""
    asked = deque()  # files and numbers of the frames that are not answered yet, and sentences between them

    def structures():
        for file in files:
            try:
                for frame, atoms in islice(enumerate(read_structures(file)), 0, None, every):
                    asked.append((file, frame))
                    yield atoms
            except (ValueError, OSError) as error:
                asked.append(str(error))

    for answer in classify_many(structures(), network, jobs):
        while isinstance(asked[0], str):
            yield asked.popleft()
        file, frame = asked.popleft()
        if isinstance(answer, Exception):
            yield f"{file}, frame {frame}: {str(answer) or type(answer).__name__}"
        else:
            yield {"file": file, "frame": frame, **answer}
    yield from asked


def _text(result):
    prototype = result["prototype"]
    answer = f"{prototype['title']}, probability {prototype['probability']:.2%}"
    if prototype["reason"]:
        answer = f"no prototype: {prototype['reason']} (nearest: {answer})"
    of_seven = f"{result['class']}, probability {result['probability']:.2%}"
    if result["reason"]:
        of_seven = f"none of the seven: {result['reason']} (nearest: {of_seven})"
    number = result["spacegroup"]
    group = "not determined" if number is None else f"{number}, {Spacegroup(number).symbol}"
    lines = [
        f"next: {prototype['next']}, {prototype['next_probability']:.2%}",
        f"class of the seven: {of_seven}",
        f"space group by spglib: {group}",
        *result["notes"],
    ]
    if standard := result["standard"]:
        lines.append(f"in the standard orientation, for comparison: {standard['class']}, {standard['probability']:.2%}")
    return "\n    ".join((f"{_printable(result['file'])}, frame {result['frame']}: {answer}", *lines))


def map_file(
    file,
    target=None,
    radius: float | None = None,
    network=None,
    every: int | None = None,
    overwrite: bool = False,
    jobs: int = -1,
    scheduler: str | None = None,
) -> int:
    """Map a structure, or, of several or with `every`, a trajectory; return 1 if it failed, 2 if there is no such
    network, else 0.

    It writes the annotated structure (``<name>.map.extxyz`` here unless `target` is told), beside it the tables of
    grains and neighbours and a picture.
    """
    if not _network_exists(network):
        return 2
    from xtalsight.writing import beside, check_target  # not above: `classify` writes nothing

    target = Path(target or f"{Path(file).name}.map.extxyz")
    parts = target.with_name(f"{target.name}.parts")
    try:
        # Now, not after minutes of reading; a trajectory that goes on is asked about its files later.
        check_target(target, overwrite or parts.exists(), [beside(target, ending) for ending in _BESIDE])
        if target.exists() and target.samefile(file):
            raise ValueError(f"{target} is what is to be mapped: name another output")
        with _on(scheduler):
            atoms = None if every else _only(file)
            if atoms is None:
                return _map_trajectory(file, target, radius, network, every or 1, overwrite, jobs)
            return _map_one(file, atoms, target, radius, network, overwrite, jobs)
    except (ValueError, OSError) as error:
        message = str(error)
        known = str(file) in message or str(beside(target, "")) in message
        _complain(message if known else f"{file}: {message}")
        return 1
    except KeyboardInterrupt:
        goes_on = f": the same command goes on where it stopped ({parts})" if parts.exists() else ""
        print(f"\ninterrupted{goes_on}", file=sys.stderr)
        return 130


def _only(file):
    """Return the structure of a file; None if it has, or breaks off in, a second one."""
    frames = read_structures(file)
    atoms = next(frames)
    try:
        return atoms if next(frames, None) is None else None
    except ValueError:
        return None


def _map_one(file, atoms, target, radius, network, overwrite, jobs):
    from xtalsight.grains import annotate, map_structure  # not above: `classify` does not need matplotlib
    from xtalsight.plots import draw_map
    from xtalsight.store import replacing, save_table
    from xtalsight.writing import beside, check_target, named, write_frames

    grains, neighbours, picture = files = [beside(target, ending) for ending in _BESIDE]
    check_target(target, overwrite, files)
    found = map_structure(atoms, radius, network, jobs)
    annotated = annotate(atoms, found)
    with named(target), ExitStack() as stack:  # all of them, or none
        of_grains, of_neighbours, drawn = (stack.enter_context(replacing(path)) for path in files)
        with named(grains):
            save_table(of_grains, found.grains.reset_index(names="grain"))
        with named(neighbours):
            save_table(of_neighbours, found.neighbours)
        with named(picture):
            draw_map(found, annotated).savefig(drawn)
        write_frames(target, [annotated], overwrite)
    table = found.grains.assign(share=found.grains.atoms / len(atoms))
    accepted = table[table.accepted.astype(bool)]
    names = accepted["class"].where(accepted["class"].isin(CLASSES), accepted["prototype"])
    shares = accepted.share.groupby(names).sum().sort_values(ascending=False)
    of_all = [f"{name} {share:.1%}" for name, share in shares.items()] or ["no class"]
    of_all += [f"refused {table.share.sum() - shares.sum():.1%}", f"without grain {(found.grain < 0).mean():.1%}"]
    print(f"{_printable(file)}: {len(atoms)} atoms, {len(table)} grains, balls of {found.radius:.2f} Å")
    print(f"    {', '.join(of_all)}")
    print(f"    written: {_printable(', '.join(map(str, (target, *files))))}")
    return 0


def _map_trajectory(file, target, radius, network, every, overwrite, jobs):
    from xtalsight.trajectories import map_trajectory
    from xtalsight.writing import beside

    table = map_trajectory(file, target, radius, network, every, overwrite, jobs)
    mapped = table[table.reason.isna()]
    print(f"{_printable(file)}: {len(mapped)} of {len(table)} frames mapped")
    for name in (*CLASSES, "other", "refused", "without_grain"):
        if (mapped[name] > 0).any():
            shares = f"{mapped[name].iloc[0]:.1%} in the first, {mapped[name].iloc[-1]:.1%} in the last"
            print(f"    {name.replace('_', ' ')}: {shares}")
    unmapped = table[table.reason.notna()]
    for frame, reason in unmapped[["frame", "reason"]].head(5).itertuples(index=False):
        print(f"    frame {frame}: {reason}")
    if len(unmapped) > 5:
        print(f"    and {len(unmapped) - 5} frames more")
    files = [target, *(beside(target, ending) for ending in (*_BESIDE, ".frames.csv"))]
    print(f"    written: {_printable(', '.join(map(str, files)))}")
    return int(mapped.empty)


def learn_folder(folder, name: str | None, minutes: float, seed: int) -> int:
    """Make a network for the crystals in a folder; return 1 if that failed, else 0."""
    # Else TensorFlow prints about it; dense layers need no such speed.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        import tf2onnx  # noqa: F401  to miss it after minutes of training would be a pity

        from xtalsight.learning import learn  # not above: TensorFlow takes seconds
        from xtalsight.networks import make_reproducible
        from xtalsight.prototypes import read_prototypes
    except ImportError as error:
        _complain(f'learn needs {error.name}, which is not installed (pip install "xtalsight[learn]")')
        return 1

    target = Path(name or f"{Path(folder).resolve().name}-network")
    try:
        if target.resolve() == Path(folder).resolve():
            raise ValueError(f"{target} holds the crystals: choose another --name for the network")
        prototypes = read_prototypes(folder)
        print(f"{len(prototypes)} crystals: {', '.join(prototypes)}", flush=True)
        make_reproducible(seed)
        card = learn(prototypes, target, minutes, seed)
    except (ValueError, OSError) as error:
        _complain(error)
        return 1
    except KeyboardInterrupt:
        print(f"\ninterrupted: the same command goes on where it stopped ({target})", file=sys.stderr)
        return 130
    for group in card["groups"]:
        if len(group["members"]) > 1:
            print(f"    cannot be told apart: {group['name']}")
    for test, accuracy in card["accuracy"].items():
        print(f"    {test.replace('_', ' ')}: {accuracy:.1%} right")
    print(f"    outliers refused: {card['outliers_refused']:.1%}")
    print(f"    written: {target}/network.onnx, card.json, mistakes.png")
    print(f"    ask it: xtalsight classify --network {target} FILE…")
    return 0


_FILES = "CIF, POSCAR, extxyz, LAMMPS and what else ASE reads"
_NETWORK = "that `learn` made (default: AFLOW's free prototypes)"
_JOBS = "processes (default: one for each core)"
_SCHEDULER = "of dask.distributed, whose workers are used"


def _positive(text):
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of frames")
    return int(text)


def main():
    parser = argparse.ArgumentParser(prog="xtalsight", description="Name the crystal structure in structure files.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('xtalsight')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "classify",
        help="name the crystal structure in each frame of structure files",
        epilog="example: xtalsight classify quartz.cif POSCAR run.lammpstrj.gz --every 100",
    )
    command.add_argument("files", nargs="+", metavar="FILE", help=_FILES)
    command.add_argument("--json", action="store_true", help="one JSON object a line, for each frame")
    command.add_argument("--network", metavar="FOLDER", help=_NETWORK)
    command.add_argument("--every", type=_positive, default=1, metavar="N", help="each N-th frame only")
    command.add_argument("--jobs", type=int, default=-1, metavar="N", help=_JOBS)
    command.add_argument("--scheduler", metavar="tcp://…", help=_SCHEDULER)
    command.set_defaults(
        run=lambda a: classify_files(a.files, a.json, a.network, a.every, a.jobs, a.scheduler),
    )
    command = commands.add_parser(
        "map",
        help="name grain and crystal structure of every atom of a large sample",
        epilog="example: xtalsight map polycrystal.dump -o mapped.extxyz",
    )
    command.add_argument("file", metavar="FILE", help=_FILES)
    command.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="extended XYZ (.extxyz), dump of LAMMPS (.dump), .csv or .parquet, by its ending; .gz, .xz, .bz2, too (default: NAME.map.extxyz)",
    )
    command.add_argument(
        "--radius",
        type=float,
        metavar="Å",
        help="of the balls in which crystals are looked for (default: some 250 atoms)",
    )
    command.add_argument("--network", metavar="FOLDER", help=_NETWORK)
    command.add_argument("--every", type=_positive, metavar="N", help="each N-th frame only (default: all)")
    command.add_argument("--overwrite", action="store_true", help="replace files that exist")
    command.add_argument("--jobs", type=int, default=-1, metavar="N", help=_JOBS)
    command.add_argument("--scheduler", metavar="tcp://…", help=_SCHEDULER)
    command.set_defaults(
        run=lambda a: map_file(a.file, a.output, a.radius, a.network, a.every, a.overwrite, a.jobs, a.scheduler),
    )
    command = commands.add_parser(
        "learn",
        help="make a network for the crystals in a folder of structure files",
        epilog="example: xtalsight learn my_crystals --minutes 10, then: xtalsight classify --network my_crystals-network FILE",
    )
    command.add_argument(
        "folder", metavar="FOLDER", help="each file is a crystal; so is a folder in it, of all its files"
    )
    command.add_argument("--name", metavar="FOLDER", help="of the network (default: name of the folder, -network)")
    command.add_argument(
        "--minutes", type=float, default=5, help="on two cores, at most, about; fewer for few crystals (default: 5)"
    )
    command.add_argument("--seed", type=int, default=0, help="the same seed gives the same network (default: 0)")
    command.set_defaults(
        run=lambda arguments: learn_folder(arguments.folder, arguments.name, arguments.minutes, arguments.seed)
    )
    arguments = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        status = arguments.run(arguments)
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        status = 130
    except BrokenProcessPool:
        print("error: a process was killed: is there memory enough? Fewer --jobs need less", file=sys.stderr)
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
