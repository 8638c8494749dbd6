"""The image's health check: asks the role that runs in this container, on the address in its own configuration.

With "readyz" as its argument it asks whether the role may do its work, and not only whether it lives.
"""

import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

# As in runtime/sections.py, for a file that leaves [http] out.
DEFAULTS = {"gateway": 9781, "party": 9782, "collector": 9783, "sink": 9784}


def address(command: list[str]) -> str | None:
    """Return where the role answers; None for a command that serves nothing (`replay`, `topics`) or has it off."""
    role = next((word for word in command if word in DEFAULTS), None)
    file = next((word for word in command if word.endswith(".toml")), None)
    if role is None or file is None:
        return None
    listen = tomllib.loads(Path(file).read_text()).get("http", {}).get("listen", f"127.0.0.1:{DEFAULTS[role]}")
    return f"http://{listen}" if listen else None


def main() -> int:
    """Return 0 when the role answers that all is well."""
    page = sys.argv[1] if len(sys.argv) > 1 else "healthz"
    # The first process is the role, or Docker's `init` or a shell with the role's command line in its arguments.
    where = address(Path("/proc/1/cmdline").read_bytes().decode().replace("\0", " ").split())
    if where is None:
        return 0
    try:
        with urllib.request.urlopen(f"{where}/{page}", timeout=4) as answer:  # noqa: S310  (always http, see above)
            print(answer.read(500).decode())
    except urllib.error.HTTPError as error:
        print(error.read(500).decode())
        return 1
    except OSError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
