"""Command line: ``xtalsight classify FILE…``, ``xtalsight map FILE`` and ``xtalsight learn FOLDER``; ``python -m
xtalsight`` does the same."""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # else TensorFlow prints about it; a few balls need no such speed

from ase.spacegroup import Spacegroup

from xtalsight.classify import classify, prototype_files, read_structures
from xtalsight.crystals import CLASSES


def classify_files(files, as_json: bool, network=None) -> int:
    """Print the answer for each frame of each file; return 1 if a file failed, 2 if there is no such network, else 0."""
    try:
        prototype_files(network)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    failed = 0
    for file in files:
        for result in _answers(file, network):
            if isinstance(result, str):
                failed = 1
                print(f"error: {result}", file=sys.stderr)
            else:
                print(json.dumps(result, ensure_ascii=False) if as_json else _text(result), flush=True)
    return failed


def _answers(file, network):
    """Yield for each frame a result, or a sentence that says why there is none."""
    frames = enumerate(read_structures(file))
    while True:
        try:
            frame, atoms = next(frames)
        except StopIteration:
            return
        except (ValueError, OSError) as error:
            yield str(error)
            return
        try:
            yield {"file": file, "frame": frame, **classify(atoms, network)}
        except Exception as error:  # noqa: BLE001  what a file may hold has no end; the others are to be answered
            yield f"{file}, frame {frame}: {str(error) or type(error).__name__}"


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
    return "\n    ".join((f"{result['file']}, frame {result['frame']}: {answer}", *lines))


def map_file(file, radius: float | None, stride: float | None, network=None) -> int:
    """Map the first structure of a file; write ``<name>.map.csv`` and ``<name>.map.png`` here; return 1 if it failed,
    2 if there is no such network, else 0."""
    from xtalsight.grains import map_structure  # not above: `classify` does not need matplotlib
    from xtalsight.plots import draw_map
    from xtalsight.store import replacing, save_table

    try:
        prototype_files(network)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        table = map_structure(next(read_structures(file)), radius, stride, network=network)
    except (ValueError, OSError) as error:
        message = str(error)
        print(f"error: {message}" if str(file) in message else f"error: {file}: {message}", file=sys.stderr)
        return 1
    target = Path(f"{Path(file).name}.map.csv")
    save_table(target, table)
    picture = target.with_suffix(".png")
    try:
        figure = draw_map(table)
    except ValueError as error:
        picture = f"no picture: {error}"
    else:
        with replacing(picture) as temporary:
            figure.savefig(temporary)
    shares = table.accepted.groupby(table.label).sum() / len(table)
    classes = ", ".join(f"{CLASSES[label]} {share:.1%}" for label, share in shares[shares > 0].items())
    print(
        f"{file}: {len(table)} positions, balls of {table.attrs['radius']:.2f} Å, {table.attrs['stride']:.2f} Å apart"
    )
    print(
        f"    {classes or 'no class'}; none of the seven {1 - table.accepted.mean():.1%}; {table.grain.max() + 1} grains"
    )
    if network:
        shares = table[table.prototype_accepted].prototype.value_counts() / len(table)
        found = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
        print(f"    by {network}: {found or 'no prototype'}; none {1 - table.prototype_accepted.mean():.1%}")
    print(f"    written: {target}, {picture}")
    return 0


def learn_folder(folder, name: str | None, minutes: float, seed: int) -> int:
    """Make a network for the crystals in a folder; return 1 if that failed, else 0."""
    from xtalsight.learning import learn  # not above: TensorFlow takes seconds
    from xtalsight.networks import make_reproducible
    from xtalsight.prototypes import read_prototypes

    target = Path(name or f"{Path(folder).resolve().name}-network")
    try:
        if target.resolve() == Path(folder).resolve():
            raise ValueError(f"{target} holds the crystals: choose another --name for the network")
        prototypes = read_prototypes(folder)
        print(f"{len(prototypes)} crystals: {', '.join(prototypes)}", flush=True)
        make_reproducible(seed)
        card = learn(prototypes, target, minutes, seed)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\ninterrupted: the same command goes on where it stopped ({target})", file=sys.stderr)
        return 130
    for group in card["groups"]:
        if len(group["members"]) > 1:
            print(f"    cannot be told apart: {group['name']}")
    for test, accuracy in card["accuracy"].items():
        print(f"    {test.replace('_', ' ')}: {accuracy:.1%} right")
    print(f"    strangers refused: {card['strangers_refused']:.1%}")
    print(f"    written: {target}/network.keras, card.json, mistakes.png")
    print(f"    ask it: xtalsight classify --network {target} FILE…")
    return 0


def main():
    parser = argparse.ArgumentParser(prog="xtalsight", description="Name the crystal structure in structure files.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("classify", help="name the crystal structure in each frame of structure files")
    command.add_argument("files", nargs="+", metavar="FILE", help="CIF, POSCAR, extxyz, LAMMPS and what else ASE reads")
    command.add_argument("--json", action="store_true", help="one JSON object a line, for each frame")
    command.add_argument("--network", metavar="FOLDER", help="that `learn` made (default: AFLOW's free prototypes)")
    command.set_defaults(run=lambda arguments: classify_files(arguments.files, arguments.json, arguments.network))
    command = commands.add_parser("map", help="name the crystal structure at every place of a large cloud of atoms")
    command.add_argument("file", metavar="FILE", help="CIF, POSCAR, extxyz, LAMMPS and what else ASE reads")
    command.add_argument(
        "--radius", type=float, help="of the balls of atoms that are judged, Å (default: some 200 atoms)"
    )
    command.add_argument("--stride", type=float, help="distance of their middles, Å (default: half the radius)")
    command.add_argument("--network", metavar="FOLDER", help="that `learn` made: prototypes in the table, too")
    command.set_defaults(
        run=lambda arguments: map_file(arguments.file, arguments.radius, arguments.stride, arguments.network)
    )
    command = commands.add_parser("learn", help="make a network for the crystals in a folder of structure files")
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
    try:
        status = arguments.run(arguments)
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
