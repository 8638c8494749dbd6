"""The terminal: the live view on its own screen with two keys, or plain lines where there is none."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from sotto.demo.scene import Progress as Seen
from sotto.demo.scene import Setting, complete_windows, scene_of, window_line
from sotto.demo.view import HEIGHT, WIDTH, frame

_STYLES = (
    (r"^SOTTO DEMO", "bold"),
    (r"^[A-Z][a-z]+ organisations want.*", "bold"),
    (r"\b[123] (READINGS GO IN|A PARTY SEES NOISE|AVERAGES COME OUT)", "bold cyan"),
    (r"\b\d{15,20}\b", "magenta"),
    (r"\bhidden\b(?!\s+readings)", "yellow"),
    (r"\d\.\d\d=", "green"),
    (r"\d\.\d\d!|\b[1-9]\d* (wrong|missing)\b", "bold red"),
    (r"q quit   space (pause|go on)", "reverse"),
)


class Screen(Protocol):
    """Where the demo shows itself. A context: entering takes the terminal, leaving gives it back."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def say(self, text: str) -> None:
        """Tell what is being prepared."""

    def show(self, setting: Setting, seen: Seen) -> None:
        """Show one moment."""

    def key(self) -> str:
        """Return a key that has been pressed since the last call, or an empty text."""


class LiveScreen:
    """24 lines on the terminal's other screen, rewritten in place."""

    def __init__(self, console: Console, *, ascii_only: bool) -> None:
        """`console` is a terminal of at least 80 columns and 24 lines."""
        self._console = console
        self._ascii = ascii_only
        self._live = Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._keys = _Keys()
        self._last: list[str] = []

    def __enter__(self) -> Self:
        self._keys.__enter__()
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        self._keys.__exit__(kind, error, trace)
        # The other screen is gone with its last frame: leave that on the normal one, without the keys.
        if self._last and kind is None:
            self._console.print(_styled(self._last[:-2]))

    def say(self, text: str) -> None:
        """Show one line on an otherwise empty screen."""
        self._live.update(_styled(["SOTTO DEMO", "", text]), refresh=True)

    def show(self, setting: Setting, seen: Seen) -> None:
        """Rewrite the view."""
        self._last = frame(scene_of(setting, seen), ascii_only=self._ascii)
        self._live.update(_styled(self._last), refresh=True)

    def key(self) -> str:
        """Return a key without waiting."""
        return self._keys.read()


class PlainLines:
    """One line for each window as it is complete: for logs, pipes and narrow terminals."""

    def __init__(self, console: Console) -> None:
        """Print to `console`."""
        self._console = console
        self._said = ""
        self._printed: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def say(self, text: str) -> None:
        """Print it, once."""
        if text != self._said:
            self._said = text
            self._print(text)

    def show(self, setting: Setting, seen: Seen) -> None:
        """Print the windows that have become complete."""
        for window in complete_windows(setting.plain, seen.found):
            if window not in self._printed:
                self._printed.add(window)
                self._print(window_line(setting, seen.found, window))

    def key(self) -> str:
        """There are no keys."""
        return ""

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        self._console.file.flush()


def choose_screen(console: Console, *, ascii_only: bool) -> Screen:
    """Return the live view where it fits, else plain lines."""
    fits = console.is_terminal and console.width >= WIDTH and console.height >= HEIGHT and not console.is_dumb_terminal
    return LiveScreen(console, ascii_only=ascii_only) if fits else PlainLines(console)


class _Keys:
    """Single keys from the terminal, without waiting for Enter. Does nothing where stdin is no POSIX terminal."""

    def __init__(self) -> None:
        self._saved: list[object] | None = None

    def __enter__(self) -> None:
        if not sys.stdin.isatty():
            return
        with suppress(ImportError):
            import termios  # noqa: PLC0415  not on every system
            import tty  # noqa: PLC0415

            self._saved = termios.tcgetattr(sys.stdin.fileno())
            tty.setcbreak(sys.stdin.fileno())

    def __exit__(self, *_: object) -> None:
        if self._saved is not None:
            import termios  # noqa: PLC0415  it was there on entering

            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]

    def read(self) -> str:
        if self._saved is None or not select.select([sys.stdin], [], [], 0)[0]:
            return ""
        return os.read(sys.stdin.fileno(), 1).decode(errors="replace")


def _styled(lines: Sequence[str]) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    for place, line in enumerate(lines):
        one = Text(line)
        for pattern, style in _STYLES:
            one.highlight_regex(pattern, style)
        text.append_text(one)
        if place + 1 < len(lines):
            text.append("\n")
    return text
