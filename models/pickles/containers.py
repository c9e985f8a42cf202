"""How torch and others wrap pickles and numbers into a file: plain, before 1.6 (`legacy`), since then (an archive), and before 0.2 (a tar).

Formats as torch's `serialization.py` writes and reads them.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from ..foreign_files import ShortReads
from .budget import Budget
from .machine import no_outside
from .operations import read_pickle
from .records import Named, printable
from .source import TRUNCATED, Source, Span, Stream
from .tensors import AXES, Storage, StoredTensor, stored_tensor, whole

MAGIC = 0x1950A86A20F9469CFC6C  # torch's mark
BLOCK = 512  # bytes, of a tar
MEMBERS = 64  # of a tar; torch wrote four
PROGRAM = "is TorchScript, which is a program; save its state dict as .safetensors"
LOCAL = 30  # bytes before a member's name in an archive


class Storages:
    """Storages that a pickle names by persistent ids: ("storage", class, key, device, count[, view]).

    Attributes:
        places: key -> where the numbers lie. named: those that were asked for.
    """

    def __init__(self, budget: Budget, places: dict[object, Span] | None = None) -> None:
        self.budget, self.places = budget, {} if places is None else places
        self.named: list[Storage] = []

    def __call__(self, identity: object) -> Storage:
        """What a persistent id stands for.

        Raises:
            ValueError: it is no storage.
        """
        self.budget.spend(8)
        if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
            what = (
                "a whole model"
                if isinstance(identity, tuple) and identity[:1] == ("module",)
                else "no tensor"
            )
            raise ValueError(f"names {what} by a persistent id; save a state dict as .safetensors")
        kind, key, count, view = identity[1], identity[2], identity[4], (*identity, None)[5]
        if not isinstance(kind, Named) or kind.dtype is None or not isinstance(key, str | int):
            raise ValueError("names numbers in a way that torch does not")
        storage = Storage(self.places, key, kind.dtype, whole(count))
        if view is not None:
            if not isinstance(view, tuple) or len(view) != 3:
                raise ValueError("has a view of numbers that is none")
            storage = Storage(self.places, key, kind.dtype, whole(view[2]), whole(view[1]))
        self.named.append(storage)
        return storage

    def check(self) -> None:
        """Whether numbers of all that were asked for are there. Raises ValueError as `Storage.place`."""
        for storage in self.named:
            storage.place()


def read_any(source: Source, path: Path, budget: Budget) -> object:
    """What a file holds, whichever way it is wrapped, its tensors as `StoredTensor`.

    Raises:
        ValueError: it is damaged, wraps something else, or its pickle is refused.
    """
    everything = source.whole()
    start = source.read(0, min(BLOCK, source.size))
    if start[:4] == b"PK\x03\x04":
        return read_archive(source, path, budget)
    if start[257:262] == b"ustar":
        return read_tar(everything, budget)
    stream = Stream(everything)
    first = read_pickle(stream, budget, no_outside, lambda data: storage_in(data, budget))
    return read_legacy(stream, budget) if first == MAGIC else first


def storage_in(data: object, budget: Budget) -> Storage:
    """The storage within bytes that `torch.save` wrote before 1.6, as a pickled tensor has them.

    Raises:
        ValueError: there is none.
    """
    if isinstance(data, bytes):
        budget.hold(len(data))
        data = Source(data, len(data)).whole()
    if not isinstance(data, Span):
        raise ValueError("has numbers that are no bytes")
    stream = Stream(data.plain(budget))
    if read_pickle(stream, budget) != MAGIC:
        raise ValueError("has numbers without torch's mark")
    storage = read_legacy(stream, budget)
    if not isinstance(storage, Storage):
        raise ValueError("has something else where a tensor's numbers should be")
    return storage


def read_legacy(stream: Stream, budget: Budget) -> object:
    """What torch wrote before 1.6, behind its mark: version, machine, pickle, keys, then each key's count and numbers.

    Raises:
        ValueError: as `read_any`.
    """
    if read_pickle(stream, budget) != 1001:
        raise ValueError("has a version of torch's format that nobody knows")
    _check_order(read_pickle(stream, budget))
    storages = Storages(budget)
    value = read_pickle(stream, budget, storages, lambda data: storage_in(data, budget))
    keys = read_pickle(stream, budget)
    if not isinstance(keys, list):
        raise ValueError("has no list of its numbers")
    sizes = {storage.key: storage.dtype.itemsize for storage in storages.named}
    for key in keys:
        if not isinstance(key, str | int) or key not in sizes or key in storages.places:
            raise ValueError("has numbers that no tensor is made of")
        storages.places[key] = stream.span(stream.number(8) * sizes[key])
    storages.check()
    return value


def _check_order(machine: object) -> None:
    """Of a file's word on the computer that wrote it."""
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("was written by a computer that orders bytes otherwise")


def read_archive(source: Source, path: Path, budget: Budget) -> object:
    """What torch writes since 1.6: a zip archive of data.pkl and, uncompressed, data/KEY.

    Raises:
        ValueError: as `read_any`.
    """
    members = _members(source, path)
    pickles = [name for name in members if name.endswith("data.pkl")]
    if len(pickles) != 1:
        raise ValueError(f"is an archive of {len(pickles)} pickles instead of one")
    prefix = pickles[0].removesuffix("data.pkl")
    order = members.get(f"{prefix}byteorder")
    if order is not None and Stream(order).take(min(order.length, 16)).strip() != b"little":
        raise ValueError("was written by a computer that orders bytes otherwise")
    start = f"{prefix}data/"
    places: dict[object, Span] = {
        name.removeprefix(start): place for name, place in members.items() if name.startswith(start)
    }
    storages = Storages(budget, places)
    value = read_pickle(Stream(members[pickles[0]]), budget, storages, lambda data: storage_in(data, budget))
    storages.check()
    return value


def _members(source: Source, path: Path) -> dict[str, Span]:
    """Name -> where a member's bytes lie, of an archive that packs nothing."""
    try:
        with ShortReads(path) as file, zipfile.ZipFile(file) as archive:
            entries, table = archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError) as error:
        raise ValueError("is a damaged archive; copy it again") from error
    if any(entry.filename.endswith("constants.pkl") for entry in entries):
        raise ValueError(PROGRAM)
    members: dict[str, Span] = {}
    if min((entry.header_offset for entry in entries), default=0) > 0:
        raise ValueError("is an archive behind something else; copy it again, or choose another file")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise ValueError(
                f"is an archive that is packed (packing {entry.compress_type}) or locked, as torch's are not; save it again with torch"
            )
        local = Stream(source.whole().part(entry.header_offset, LOCAL)).take(LOCAL)
        if local[:4] != b"PK\x03\x04" or entry.filename in members:
            raise ValueError("is an archive whose table points elsewhere; copy it again")
        start = (
            entry.header_offset + LOCAL + sum(int.from_bytes(local[i : i + 2], "little") for i in (26, 28))
        )
        if start + entry.file_size > table:
            raise ValueError(TRUNCATED)
        members[entry.filename] = source.whole().part(start, entry.file_size)
    return members


def read_tar(everything: Span, budget: Budget) -> object:
    """What torch wrote before 0.2: a tar of sys_info, storages, tensors and pickle.

    Storages: how many; of each a pickle (key, device, class), its count and its numbers; how many are views of others, which is none.
    Tensors: how many; of each a pickle (key, storage, class), int32 dimensions and 4 bytes, int64 sizes, steps and offset. The pickle names
    them by persistent ids.

    Raises:
        ValueError: as `read_any`.
    """
    members = _tar_members(everything)
    if missing := [name for name in ("sys_info", "storages", "tensors", "pickle") if name not in members]:
        raise ValueError(f"is a tar without {missing[0]}, which torch's have")
    _check_order(read_pickle(Stream(members["sys_info"]), budget))
    storages = _tar_storages(Stream(members["storages"]), budget)
    tensors = _tar_tensors(Stream(members["tensors"]), storages, budget)

    def named(identity: object) -> StoredTensor:
        key = int(identity) if isinstance(identity, str) and identity.isdecimal() else identity
        if not isinstance(key, int) or key not in tensors:
            raise ValueError("names a tensor that is not there")
        return tensors[key]

    return read_pickle(Stream(members["pickle"]), budget, named)


def _tar_members(everything: Span) -> dict[str, Span]:
    """Name -> its bytes; of plain files alone, so that nothing outside of the tar is meant."""
    stream, members = Stream(everything), {}
    for _ in range(MEMBERS):
        if stream.left() < BLOCK or not (header := stream.take(BLOCK)).strip(b"\0"):
            return members
        name, kind = header[:100].rstrip(b"\0").decode("latin-1"), header[156:157]
        try:
            size = int(header[124:136].strip(b"\0 "), 8)
        except ValueError as error:
            raise ValueError("is a damaged tar; copy it again") from error
        content = stream.span(size)
        stream.span(min(-size % BLOCK, stream.left()))
        if kind in b"xg":
            continue  # attributes of the next member
        if kind not in (b"0", b"\0"):
            raise ValueError(f"is a tar with {printable(name)}, which is no plain file; choose another file")
        members[name.removeprefix("./")] = content
    raise ValueError(f"is a tar of more than {MEMBERS} files, where torch wrote four")


def _count(stream: Stream, budget: Budget) -> int:
    count = whole(read_pickle(stream, budget))
    budget.spend(count)
    return count


def _triple(stream: Stream, budget: Budget) -> tuple:
    value = read_pickle(stream, budget)
    if not isinstance(value, tuple) or len(value) != 3 or not isinstance(value[0], int):
        raise ValueError("has a tar's entry that is none")
    return value


def _tar_storages(stream: Stream, budget: Budget) -> dict[object, Storage]:
    places: dict[object, Span] = {}
    storages: dict[object, Storage] = {}
    for _ in range(_count(stream, budget)):
        key, _, kind = _triple(stream, budget)
        if not isinstance(kind, Named) or kind.dtype is None:
            raise ValueError("has numbers of an unknown type")
        count = stream.number(8)
        places[key] = stream.span(count * kind.dtype.itemsize)
        storages[key] = Storage(places, key, kind.dtype, count)
    if read_pickle(stream, budget) != []:
        raise ValueError("has views of numbers, which a state dict does without; save it again with torch")
    return storages


def _tar_tensors(
    stream: Stream, storages: dict[object, Storage], budget: Budget
) -> dict[object, StoredTensor]:
    tensors = {}
    for _ in range(_count(stream, budget)):
        key, storage, _ = _triple(stream, budget)
        axes = stream.number(4)
        stream.take(4)
        if axes > AXES or not isinstance(storage, int):
            raise ValueError(f"has a tensor of {axes} dimensions")
        shape, stride = (tuple(stream.number(8, signed=True) for _ in range(axes)) for _ in range(2))
        tensors[key] = stored_tensor(storages.get(storage), stream.number(8, signed=True), shape, stride)
    return tensors
