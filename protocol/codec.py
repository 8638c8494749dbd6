"""Reading and writing the binary records of SPEC 2: little-endian, length-prefixed, one encoding for each content.

A reader never returns a partial result: short, long, trailing and non-canonical input raises `WireError`.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocol.errors import WireError

MAGIC: Final = b"So"
VERSION: Final = 1
LATEST: Final = 2**53 - 1
"""The latest time that a record may claim: what canonical JSON can hold."""

_U8, _U16, _U32, _U64, _I64 = (struct.Struct("<" + code) for code in "BHIQq")


class Writer:
    """Appends fields to a record."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def u8(self, value: int) -> Writer:
        self._parts.append(_U8.pack(value))
        return self

    def u16(self, value: int) -> Writer:
        self._parts.append(_U16.pack(value))
        return self

    def u32(self, value: int) -> Writer:
        self._parts.append(_U32.pack(value))
        return self

    def u64(self, value: int) -> Writer:
        self._parts.append(_U64.pack(value))
        return self

    def i64(self, value: int) -> Writer:
        self._parts.append(_I64.pack(value))
        return self

    def raw(self, data: bytes | memoryview, size: int | None = None) -> Writer:
        """Append bytes whose number the reader knows."""
        assert size is None or len(data) == size, "internal error: a field of the wrong size"
        self._parts.append(bytes(data))
        return self

    def text(self, value: str) -> Writer:
        """Append a text of at most 255 bytes of UTF-8."""
        data = value.encode()
        return self.u8(len(data)).raw(data)

    def blob(self, data: bytes) -> Writer:
        """Append bytes with their number (u32) before them."""
        return self.u32(len(data)).raw(data)

    def words(self, values: NDArray[np.uint64] | NDArray[np.int64]) -> Writer:
        """Append 64-bit integers without their number."""
        return self.raw(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes())

    def done(self) -> bytes:
        return b"".join(self._parts)


class Reader:
    """Takes fields off a record, from the front."""

    __slots__ = ("_data", "_place")

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._place = 0

    @property
    def place(self) -> int:
        """Number of bytes read."""
        return self._place

    def taken(self, start: int = 0) -> bytes:
        """Return what has been read from `start` on."""
        return bytes(self._data[start : self._place])

    def raw(self, size: int) -> bytes:
        return bytes(self.view(size))

    def view(self, size: int) -> memoryview:
        """Take bytes without a copy."""
        end = self._place + size
        if end > len(self._data):
            raise WireError("truncated")
        piece = self._data[self._place : end]
        self._place = end
        return piece

    def u8(self) -> int:
        return int(_U8.unpack(self.view(1))[0])

    def u16(self) -> int:
        return int(_U16.unpack(self.view(2))[0])

    def u32(self) -> int:
        return int(_U32.unpack(self.view(4))[0])

    def u64(self) -> int:
        return int(_U64.unpack(self.view(8))[0])

    def i64(self) -> int:
        return int(_I64.unpack(self.view(8))[0])

    def clock(self) -> int:
        """Take what the sender says that its clock showed (ms since 1970): it goes into aggregates, so JSON can say it.

        The attack: a gateway whose seal says 2^62 would end every collector that has to write that down.
        """
        shown = self.i64()
        if not 0 <= shown <= LATEST:
            raise WireError("time_out_of_range")
        return shown

    def text(self) -> str:
        try:
            return str(self.view(self.u8()), "utf-8")
        except UnicodeDecodeError:
            raise WireError("not_utf8") from None

    def blob(self) -> bytes:
        return self.raw(self.u32())

    def unsigned_words(self, count: int) -> NDArray[np.uint64]:
        """Take `count` unsigned 64-bit integers, in the machine's byte order, without a copy where it can be."""
        return np.frombuffer(self.view(8 * count), dtype="<u8").astype(np.uint64, copy=False)

    def signed_words(self, count: int) -> NDArray[np.int64]:
        """Take `count` signed 64-bit integers."""
        return np.frombuffer(self.view(8 * count), dtype="<i8").astype(np.int64, copy=False)

    def end(self) -> None:
        """Refuse what follows the last field."""
        if self._place != len(self._data):
            raise WireError("trailing_bytes")


def begin(kind: int) -> Writer:
    """Start a record: magic, version of the protocol, kind of record."""
    return Writer().raw(MAGIC).u8(VERSION).u8(kind)


def peek_kind(data: bytes | memoryview) -> int:
    """Return the kind of a record, or raise WireError if it is not a record of this protocol version."""
    if len(data) < 4:
        raise WireError("truncated")
    if bytes(data[:2]) != MAGIC:
        raise WireError("not_ours")
    if data[2] != VERSION:
        raise WireError("other_version")
    return int(data[3])


def open_record(data: bytes | memoryview, kind: int) -> Reader:
    """Return a reader behind the first four bytes, which must name this kind."""
    if peek_kind(data) != kind:
        raise WireError("other_kind")
    reader = Reader(data)
    reader.view(4)
    return reader
