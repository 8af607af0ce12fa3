"""Opens the person's browser, where this machine has one that shows windows."""

import os
import sys
import webbrowser
from collections.abc import Callable, Mapping


def opener(environment: Mapping[str, str] = os.environ) -> Callable[[str], bool] | None:
    """Return what opens an address, or None where only a text browser could be found.

    A text browser would run in the terminal that the protocol uses. `BROWSER` is the person's own
    word, so it is followed anywhere.
    """
    named = ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER")
    windows = sys.platform in ("win32", "darwin") or any(environment.get(name) for name in named)
    return webbrowser.open if windows else None
