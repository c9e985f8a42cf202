"""The command line: run, fit, convert, train, bench, doctor. Each command is one call into models/."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys


def commands(package: str) -> dict:
    """Name -> `run(arguments)` of the modules of a package that have one; of a package within it, its module `bench`."""
    parent = importlib.import_module(f".models.{package}", __package__)
    names = {
        item.name: f"{item.name}.bench" if item.ispkg else item.name
        for item in pkgutil.iter_modules(parent.__path__)
    }
    modules = {name: importlib.import_module(f"{parent.__name__}.{path}") for name, path in names.items()}
    return {name: module.run for name, module in modules.items() if hasattr(module, "run")}


def main(arguments: list[str] | None = None) -> int:
    """0 done, 2 wrong input (one sentence on stderr), 130 stopped by Ctrl-C."""
    parser = argparse.ArgumentParser(prog="portrait-diffusion", description=__doc__)
    parser.add_argument(
        "command",
        choices=["run", "fit", "convert", "train", "bench", "doctor"],
        help="run PHOTO --out DIR; fit FOLDER --out DIR; convert FILE.pkl FILE.safetensors; train NAME; bench NAME; doctor",
    )
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="options of the command; --help shows them")
    options = parser.parse_args(arguments)
    try:
        dispatch(parser, options.command, options.rest)
    except (ValueError, ImportError) as error:
        print(f"portrait-diffusion {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


def dispatch(parser: argparse.ArgumentParser, command: str, rest: list[str]) -> None:
    """Find the module behind a command and call it."""
    if command in ("train", "bench"):
        programs = commands({"train": "training", "bench": "benchmarks"}[command])
        if not rest or rest[0].replace("-", "_") not in programs:
            parser.error(f"{command} needs one of: {', '.join(programs)}")
        programs[rest[0].replace("-", "_")](rest[1:])
    else:
        importlib.import_module(f".models.commands.{command}", __package__).run(rest)


if __name__ == "__main__":
    raise SystemExit(main())
