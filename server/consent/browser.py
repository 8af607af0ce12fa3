"""Opens the person's browser, where this machine has one that shows windows.

The link holds a key. What opens it runs in a process of its own whose output goes nowhere, since
xdg-open and browsers print the addresses that they cannot open, and our stderr is a log.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping

_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.stdin.read()))"
_SECONDS = 10
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)


def opener(environment: Mapping[str, str] = os.environ) -> Callable[[str], bool] | None:
    """Return what opens an address, or None where only a text browser could be found.

    A text browser would run in the terminal that the protocol uses. `BROWSER` is the person's own
    word, so it is followed anywhere.
    """
    named = ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER")
    windows = sys.platform in ("win32", "darwin") or any(environment.get(name) for name in named)
    return open_link if windows else None


def open_link(link: str) -> bool:
    """Open an address and tell whether that worked; one that takes long is taken to be open."""
    try:
        opened = subprocess.run(  # noqa: S603  this Python, and our own words
            [sys.executable, "-I", "-c", _OPEN],
            input=link,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            creationflags=_NO_WINDOW,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    except OSError:
        return False
    return opened.returncode == 0
