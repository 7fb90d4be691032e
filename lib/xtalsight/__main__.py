"""Command line: ``python -m xtalsight classify FILE… [--json]``."""

import argparse
import json
import os
import sys

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # else TensorFlow prints about it; one picture needs no such speed

from ase.spacegroup import Spacegroup

from xtalsight.classify import classify, read_structures


def classify_files(files, as_json: bool) -> int:
    """Print the answer for each frame of each file; return 1 if a file failed, else 0."""
    failed = 0
    for file in files:
        for result in _answers(file):
            if isinstance(result, str):
                failed = 1
                print(f"error: {result}", file=sys.stderr)
            else:
                print(json.dumps(result, ensure_ascii=False) if as_json else _text(result), flush=True)
    return failed


def _answers(file):
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
            yield {"file": file, "frame": frame, **classify(atoms)}
        except Exception as error:  # noqa: BLE001  what a file may hold has no end; the others are to be answered
            yield f"{file}, frame {frame}: {str(error) or type(error).__name__}"


def _text(result):
    answer = f"{result['class']}, probability {result['probability']:.2%}"
    if result["verdict"] == "none of the seven":
        answer = f"none of the seven (nearest: {answer})"
    number = result["spacegroup"]
    group = "not determined" if number is None else f"{number}, {Spacegroup(number).symbol}"
    lines = (f"space group by spglib: {group}", f"looked at: {result['n_atoms']} atoms", *result["notes"])
    return "\n    ".join((f"{result['file']}, frame {result['frame']}: {answer}", *lines))


def main():
    parser = argparse.ArgumentParser(prog="python -m xtalsight", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("classify", help="name the crystal structure in each frame of structure files")
    command.add_argument("files", nargs="+", metavar="FILE", help="any structure file that ASE reads")
    command.add_argument("--json", action="store_true", help="one JSON object a line, for each frame")
    command.set_defaults(run=lambda arguments: classify_files(arguments.files, arguments.json))
    arguments = parser.parse_args()
    try:
        status = arguments.run(arguments)
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
