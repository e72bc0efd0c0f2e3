"""A connection to a Dask scheduler that decodes plain data only: nothing that comes is ever unpickled.

Dask's own connections unpickle some of what they read even where they are told to leave it. So this speaks
Dask's wire format itself: a message is a few frames with their lengths before them, and the first frame is
msgpack. Objects that Dask pickles travel in the other frames, which are dropped here.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgpack  # type: ignore[import-untyped]

from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from distributed import Security

__all__ = ["Stream", "Where"]

_LIMIT: Final = 1 << 30  # bytes of a message; what is not Dask seems to announce more
_CHUNK: Final = 1 << 20
_QUAD: Final = struct.calcsize("Q")
_CLOSE: Final = 1.0  # seconds for a goodbye
_PROTOCOL: Final = 4  # of pickle, which the other side wants to hear of
_IDLE, _BETWEEN, _PROBES = 5, 2, 5  # TCP keepalive: a network that is gone is noticed after 15 seconds


@dataclass(frozen=True, slots=True)
class Where:
    """Where a scheduler is, and how it is talked to.

    Attributes
    ----------
    address : str
        As it was given.
    host, port : str and int
        Its parts.
    tls : ssl.SSLContext or None
        For ``tls://``.
    name : str or None
        The name that its certificate is asked for, if it is not the host.
    """

    address: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None
    name: str | None = None

    @classmethod
    def of(cls, address: str, security: Security | None) -> Where:
        """Take an address apart.

        Raises
        ------
        ParameterError
            Field ``scheduler_address``: it is none, or there are no certificates for ``tls://``.
        """
        host, port = _parts(address)
        if not address.startswith("tls://"):
            if security is not None and security.require_encryption:
                rule = "must begin with tls://, for Dask is configured to require encryption"
                raise ParameterError("scheduler_address", address, rule)
            return cls(address, host, port)
        if security is None:
            security = _configured()
        arguments: dict[str, Any] = security.get_connection_args("client")  # type: ignore[no-untyped-call]
        if arguments.get("ssl_context") is None:
            rule = "needs certificates: tls_ca, tls_cert and tls_key, or Dask's configuration of them"
            raise ParameterError("scheduler_address", address, rule)
        name = (arguments.get("extra_conn_args") or {}).get("server_hostname")
        return cls(address, host, port, arguments["ssl_context"], name)


def _configured() -> Security:
    """Return the certificates of Dask's configuration."""
    from distributed import Security

    return Security()  # type: ignore[no-untyped-call]


def _parts(address: str) -> tuple[str, int]:
    with suppress(ValueError):
        parts = urlsplit(address)
        if parts.scheme in ("tcp", "tls") and parts.hostname and parts.port:
            return parts.hostname, parts.port
    rule = "must be the address of a Dask scheduler, as in tls://HOST:8786 or tcp://HOST:8786"
    raise ParameterError("scheduler_address", address, rule)


class Stream:
    """A connection, over which messages of plain data go both ways.

    All that can go wrong with it is an OSError; after one it is of no more use.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, where: Where) -> Stream:
        """Connect, and shake hands as Dask does; not bounded in time."""
        name = None if where.tls is None else where.name or where.host
        ends = await asyncio.open_connection(where.host, where.port, ssl=where.tls, server_hostname=name)
        stream = cls(*ends)
        try:
            _keep_alive(stream._writer.get_extra_info("socket"))
            version = list(sys.version_info)[:3]
            await stream.write({"compression": None, "python": version, "pickle-protocol": _PROTOCOL})
            if not isinstance(await stream.read(), dict):
                raise OSError("what answers is no Dask scheduler")
        except BaseException:
            stream.abort()
            raise
        return stream

    async def write(self, message: Mapping[str, Any]) -> None:
        """Send a message."""
        frame = msgpack.packb(message, use_bin_type=True)
        self._writer.write(struct.pack("3Q", 2 * _QUAD + len(frame), 1, len(frame)) + frame)
        await self._writer.drain()

    async def read(self) -> Any:
        """Return the next message; objects that are not plain data are None in it, and sets are lists."""
        try:
            frame = await self._read_frame()
            return msgpack.unpackb(frame, object_hook=_plain, raw=False, strict_map_key=False)
        except EOFError:
            raise ConnectionResetError("the connection was closed") from None
        except (ValueError, struct.error, RecursionError) as error:
            raise OSError(f"what was said is not Dask's protocol: {error}") from error

    async def _read_frame(self) -> bytes:
        """Read a message, and return its first frame."""
        (size,) = struct.unpack("Q", await self._reader.readexactly(_QUAD))
        if not 2 * _QUAD <= size <= _LIMIT:
            raise ValueError("a message of an impossible length")
        head = await self._reader.readexactly(size)
        (count,) = struct.unpack_from("Q", head)
        begin = _QUAD * (1 + count)
        if not 0 < begin <= size:
            raise ValueError("an impossible number of frames")
        lengths = struct.unpack_from(f"{count}Q", head, _QUAD)
        if not lengths or begin + lengths[0] > size:
            raise ValueError("a first frame that is not there")
        rest = begin + sum(lengths) - size
        while rest > 0:
            rest -= len(await self._reader.readexactly(min(rest, _CHUNK)))
        return head[begin : begin + lengths[0]]

    @property
    def broken(self) -> bool:
        """Whether the other side is known to have gone."""
        return self._reader.at_eof() or self._reader.exception() is not None or self._writer.is_closing()

    def abort(self) -> None:
        """Close it at once; what has not been sent is lost."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Send what is left to be sent, and close it."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE):
                self._writer.close()
                await self._writer.wait_closed()
        self.abort()


def _plain(found: dict[Any, Any]) -> Any:
    """Replace what Dask adds to msgpack."""
    if "__Set__" in found:
        return found.get("as-list")
    if "__Enum__" in found:
        return found.get("name")
    if "__Serialized__" in found or "__Pickled__" in found:
        return None
    return found


def _keep_alive(connection: socket.socket) -> None:
    with suppress(OSError, AttributeError):  # not every system has all of them
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        name = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"  # on macOS
        connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), _IDLE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _BETWEEN)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = 1000 * (_IDLE + _BETWEEN * _PROBES)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
