# SPDX-License-Identifier: Apache-2.0
"""Convert published weights to checkpoints of this package, and show what is in a checkpoint.

python -m uva_core.checkpoint convert epoch=0100.ckpt models/umi.safetensors
python -m uva_core.checkpoint convert kl16.ckpt runs/umi/tokenizer.safetensors
python -m uva_core.checkpoint convert checkpoint-last.pth start.safetensors --preset umi_multitask --vae kl16.ckpt
python -m uva_core.checkpoint show models/umi.safetensors

Reads what torch.save wrote: policies of the official UVA training (.ckpt), MAR's checkpoint-last.pth and kl16.ckpt.
Nothing in a file is ever run: a file that asks for it is refused. What is in the file and not in the output, or the
other way round, is listed tensor by tensor.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open
from torch import Tensor

from uva_core import presets
from uva_core.checkpoint import safetensors_file as checkpoint
from uva_core.checkpoint.safetensors_file import MAX_MESSAGE_LENGTH, CheckpointError, parse_config, require_file
from uva_core.config import UvaConfig
from uva_core.official.importing.account import MAR, Converted, check_finite
from uva_core.official.importing.convert import Options, convert
from uva_core.official.importing.hydra_config import HydraConfig
from uva_core.official.importing.objects import StoredTensor
from uva_core.official.importing.torch_file import TorchFile
from uva_core.serialization import printable, to_dict

MAX_LINES = 20_000  # of a list; a file can name one tensor very often


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0; 2 with one line on stderr; 130 after Ctrl-C."""
    args = _parser().parse_args(arguments)
    try:
        if args.command == "convert":
            _convert(args)
        else:
            _show(args.file)
    except (CheckpointError, OSError, SafetensorError) as error:
        print(f"uva_core.checkpoint: {printable(str(error), MAX_MESSAGE_LENGTH)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("uva_core.checkpoint: interrupted, nothing was written", file=sys.stderr)
        return 130
    return 0


def _convert(args: argparse.Namespace) -> None:
    if args.output.is_dir() or (args.output.exists() and args.input.exists() and args.output.samefile(args.input)):
        raise CheckpointError(f"{args.output} is a folder or the input itself: give another name for the output")
    options = Options(args.weights, args.preset, args.heads, args.vae, args.instructions)
    converted = convert(TorchFile(args.input), options)
    _report(converted)
    # MAR knows nothing of actions: a network started from it always has parts that it does not bring.
    if converted.missing and not (args.allow_missing or converted.kind == MAR):
        raise CheckpointError(
            f"{args.input}: {len(converted.missing)} tensors are missing, nothing was written "
            "(--allow-missing gives them the values of a new network, to train on from)"
        )
    if converted.missing:
        converted.fill_missing()
    check_finite(converted)
    checkpoint.save(args.output, converted.tensors, to_dict(converted.config), converted.counts)
    print(f"wrote {args.output}: {len(converted.tensors)} tensors, {_count(converted.tensors.values())} numbers")


def _report(converted: Converted) -> None:
    modes = ""
    if isinstance(converted.config, UvaConfig):
        modes = f", trained modes: {', '.join(converted.config.trained_modes) or 'none'}"
    print(f"{converted.kind}{modes}")
    for title, lines in (
        ("not used by the forward pass", converted.unused),
        ("in the file, without a place in this network", converted.unknown),
        ("missing in the file", converted.missing),
    ):
        print(f"{title}: {len(lines) or 'none'}")
        _print_lines(f"  {line}" for line in lines)


def _print_lines(lines: Iterable[str]) -> None:
    """Print a list that holds names from a file, safely for the terminal."""
    lines = iter(lines)
    for line in itertools.islice(lines, MAX_LINES):
        print(printable(line))
    if next(lines, None) is not None:
        print(f"(only the first {MAX_LINES} lines are shown)")


def _print_tree(tree: dict[str, Any]) -> None:
    """Print nested values as YAML, which escapes control characters."""
    try:
        print(yaml.safe_dump(tree, sort_keys=False), end="")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise CheckpointError(f"its configuration cannot be shown: {error}") from None


def _show(path: Path) -> None:
    require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError):
        _show_torch(TorchFile(path))
        return
    _print_lines(f"{name} {tuple(shape)}" for name, shape in shapes.items())
    config = parse_config(notes.pop("config", "{}"), path)
    _print_tree({printable(name): printable(note) for name, note in notes.items()} | {"config": config})


def _show_torch(source: TorchFile) -> None:
    payload = source.payload if isinstance(source.payload, dict) else {"payload": source.payload}
    if "cfg" in payload:
        try:
            tree = HydraConfig(payload["cfg"]).tree
        except CheckpointError as error:
            raise CheckpointError(f"{source.path}: {error}") from None
        _print_tree(tree)
    groups = payload.get("state_dicts", payload)
    _print_lines(_listed(groups if isinstance(groups, dict) else {}))


def _listed(groups: dict[Any, Any]) -> Iterator[str]:
    """Each group's number of tensors, then name and shape of each."""
    for group, values in groups.items():
        tensors = {n: t for n, t in values.items() if isinstance(t, StoredTensor)} if isinstance(values, dict) else {}
        yield f"{printable(str(group))}: {len(tensors)} tensors"
        for name, tensor in tensors.items():
            yield f"  {printable(str(name))} {tensor.shape}"


def _count(tensors: Iterable[Tensor]) -> str:
    return f"{sum(tensor.numel() for tensor in tensors):,}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m uva_core.checkpoint", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="print configuration, notes and tensors of a checkpoint")
    show.add_argument("file", type=Path, help="a checkpoint of this package, or a file of torch.save")
    convert = commands.add_parser("convert", help="write published weights as a checkpoint of this package")
    convert.add_argument("input", type=Path, metavar="IN", help="UVA .ckpt, MAR checkpoint-last.pth or kl16.ckpt")
    convert.add_argument("output", type=Path, metavar="OUT", help="safetensors file to write")
    convert.add_argument(
        "--weights", choices=("ema", "model"), help="averaged or last weights (default: averaged where present)"
    )
    convert.add_argument(
        "--preset", help=f"for MAR: the network that its weights start, one of: {', '.join(presets.names())}"
    )
    convert.add_argument(
        "--vae", type=Path, metavar="FILE", help="for MAR: kl16.ckpt, the autoencoder to put beside it"
    )
    convert.add_argument(
        "--instructions", type=Path, metavar="FILE", help="for UVA: language_latents.pkl, instructions to put beside it"
    )
    convert.add_argument(
        "--heads", type=int, help="for UVA of an unpublished size: attention heads, which the file does not tell"
    )
    convert.add_argument(
        "--allow-missing",
        action="store_true",
        help="write it although tensors are missing, with those of a new network in their place",
    )
    return parser
