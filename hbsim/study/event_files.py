"""TensorBoard's event files, written at once and in this thread.

tensorboardX has the formats. Its SummaryWriter is not used: it starts a thread and a queue a run, forces each
file to the disk when it closes it, and waits for ever once its thread has met a full disk.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final

__all__ = ["EventFiles"]

OPEN: Final = 64  # files at the same time
VERSION: Final = "brain.Event:2"


class EventFiles:
    """Event files of many runs, of which a bounded number is open.

    Parameters
    ----------
    folder : Path
        Has a folder a run.
    clock : callable
        Seconds since the epoch.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder, self._clock = folder, clock
        self._event = import_module("tensorboardX.proto.event_pb2").Event
        self._summary = import_module("tensorboardX.proto.summary_pb2").Summary
        self._checksum = import_module("tensorboardX.record_writer").masked_crc32c
        self._hparams = import_module("tensorboardX.summary").hparams
        self._open: dict[str, IO[bytes]] = {}  # the one used last comes last
        self._names: dict[str, str] = {}  # of the files of this process

    def begin(self, run: str, configuration: Mapping[str, object], metric: str) -> None:
        """Write down a run's hyperparameters, and which scalar says how good they are."""
        experiment, start, _ = self._hparams(dict(configuration), {metric: 0.0})
        for summary in (experiment, start):
            self._write(run, self._event(wall_time=self._clock(), summary=summary))

    def scalars(self, run: str, values: Mapping[str, float], step: int, wall: float) -> None:
        """Write scalars of one step."""
        made = [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._write(run, self._event(wall_time=wall, step=step, summary=self._summary(value=made)))

    def end(self, run: str, failed: bool) -> None:
        """Write down that a run is over."""
        api = import_module("tensorboardX.proto.api_pb2")
        plugin = import_module("tensorboardX.proto.plugin_hparams_pb2")
        status = api.Status.Value("STATUS_FAILURE" if failed else "STATUS_SUCCESS")
        info = plugin.SessionEndInfo(status=status, end_time_secs=self._clock())
        content = plugin.HParamsPluginData(session_end_info=info, version=0).SerializeToString()
        metadata = import_module("tensorboardX.proto.summary_pb2").SummaryMetadata
        data = metadata.PluginData(plugin_name="hparams", content=content)
        value = self._summary.Value(tag="_hparams_/session_end_info", metadata=metadata(plugin_data=data))
        self._write(run, self._event(wall_time=self._clock(), summary=self._summary(value=[value])))

    def put_away(self, run: str, for_good: bool = False) -> None:
        """Close a run's file; it is opened again where need be, unless `for_good`."""
        file = self._open.pop(run, None)
        if for_good:
            self._names.pop(run, None)
        if file is not None:
            file.close()

    def flush(self) -> None:
        """Hand all that was written to the operating system."""
        for file in self._open.values():
            file.flush()

    def close(self) -> None:
        """Close all files."""
        for run in list(self._open):
            self.put_away(run)

    def give_up(self) -> None:
        """Close all files, whatever becomes of what they were to hold."""
        while self._open:
            _, file = self._open.popitem()
            with suppress(OSError, ValueError):
                file.close()

    def _write(self, run: str, event: Any) -> None:
        data = event.SerializeToString()
        head = struct.pack("<Q", len(data))
        checks = (struct.pack("<I", self._checksum(part)) for part in (head, data))
        file = self._file(run)
        # In one piece: what is cut off when the process dies is the last record only.
        file.write(head + next(checks) + data + next(checks))

    def _file(self, run: str) -> IO[bytes]:
        file = self._open.pop(run, None)
        if file is None:
            if len(self._open) >= OPEN:
                self.put_away(next(iter(self._open)))
            new = run not in self._names
            file = open(self._path(run), "ab")  # noqa: SIM115, closed by put_away
            self._open[run] = file
            if new:
                self._write(run, self._event(wall_time=self._clock(), file_version=VERSION))
            return file
        self._open[run] = file
        return file

    def _path(self, run: str) -> Path:
        """Return a run's file: one of this process, after those of earlier ones in the order of names.

        A file of an earlier process may end within a record, and nothing after that would be read.
        """
        folder = self._folder / run
        if run not in self._names:
            folder.mkdir(parents=True, exist_ok=True)
            count = sum(1 for _ in folder.iterdir())
            self._names[run] = f"events.out.tfevents.{int(self._clock()):010d}.hbsim.{count:04d}"
        return folder / self._names[run]
