"""Installs mosquitto, Apache Kafka, InfluxDB and toxiproxy for the tests, without Docker: `make servers`.

Each comes from a package registry and is kept twice: in a cache per user, by version, so that a new clone need not
build again what takes minutes, and in the directory that the tests use (`.servers`, or $SOTTO_SERVERS), as hard
links. Only the standard library is used, so any Python can run this file before anything of ours is installed.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent

KAFKA = "4.1.0"  # also in kafka/pom.xml
INFLUXDB = "2.7.12"  # also in influxd/go.mod
TOXIPROXY = "2.5.0"
TOXIPROXY_SOURCE = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{TOXIPROXY}"
VERSIONS = {"kafka": KAFKA, "influxdb": INFLUXDB, "toxiproxy": TOXIPROXY}
PKG_CONFIG = "github.com/influxdata/pkg-config@v0.3.0"
GO_FIRST_WITH_TOOLCHAINS = (1, 21)  # from here on Go fetches by itself the version that a go.mod asks for
GO_TOOLCHAIN = "1.23.12"
RUST_MINIMUM = (1, 72)  # what flux, the part of InfluxDB that is written in Rust, is developed with
JAVA_MINIMUM = 17


class InstallError(Exception):
    """What is wrong, where, and what to do."""

    def __init__(self, what: str, *, where: str, remedy: str) -> None:
        super().__init__(f"{what}      {where}\n    {remedy}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """Where the programs are, as the runner needs them."""

    mosquitto: Path
    java: Path
    kafka: Path  # the directory with the jars
    influxd: Path
    toxiproxy: Path

    def missing(self) -> str | None:
        """Name the first file that is no longer there."""
        files = (self.mosquitto, self.java, self.kafka / f"kafka_2.13-{KAFKA}.jar", self.influxd, self.toxiproxy)
        return next((str(file) for file in files if not file.exists()), None)


def directory() -> Path:
    """Return the directory that the tests take the servers from."""
    return Path(os.environ.get("SOTTO_SERVERS") or REPOSITORY / ".servers").resolve()


def installed() -> Installed | None:
    """Return what `make servers` has put into place, or None if anything of it is missing."""
    try:
        record = json.loads((directory() / "servers.json").read_text())
        if any(record[f"{name}_version"] != version for name, version in VERSIONS.items()):
            return None
        found = Installed(**{name: Path(record[name]) for name in Installed.__slots__})
    except (OSError, ValueError, KeyError):
        return None
    return None if found.missing() else found


class Installer:
    """One run of the installation."""

    def __init__(self, *, target: Path, cache: Path) -> None:
        self._target = target
        self._cache = cache
        self._log = target / "install.log"
        self._apt_updated = False

    def run(self) -> Installed:
        """Install whatever is not there yet, and write down where it is."""
        self._target.mkdir(parents=True, exist_ok=True)
        self._cache.mkdir(parents=True, exist_ok=True)
        self._log.write_text("")
        with self._alone():
            mosquitto = self._mosquitto()
            java = self._java()
            kafka = self._cached(f"kafka-{KAFKA}", self._download_kafka, "45 jars, 45 MB, about 10 s")
            influxdb = self._cached(
                f"influxdb-{INFLUXDB}-{platform.machine()}",
                self._build_influxdb,
                "built from source: Go and Rust, 5 to 15 min the first time, then cached",
            )
            toxiproxy = self._cached(
                f"toxiproxy-{TOXIPROXY}-{platform.machine()}",
                self._build_toxiproxy,
                "built from source: Go, about 20 s",
            )
            found = Installed(
                mosquitto=mosquitto,
                java=java,
                kafka=kafka,
                influxd=influxdb / "influxd",
                toxiproxy=toxiproxy / "server",
            )
            record = {name: str(getattr(found, name)) for name in found.__slots__}
            record |= {f"{name}_version": version for name, version in VERSIONS.items()}
            (self._target / "servers.json").write_text(json.dumps(record, indent=2) + "\n")
        return found

    # -- the servers ---------------------------------------------------------------------------------------------

    def _mosquitto(self) -> Path:
        found = _which("mosquitto", "/usr/sbin")
        if found is None:
            self._apt(["mosquitto"], why="the MQTT broker")
            found = _which("mosquitto", "/usr/sbin")
        if found is None:
            raise InstallError(
                "mosquitto was installed but cannot be found",
                where="looked in $PATH and /usr/sbin",
                remedy="Add the directory that has it to $PATH and run `make servers` again.",
            )
        _say("mosquitto", f"ready: {found}")
        return found

    def _java(self) -> Path:
        found = _which("java")
        if found is None or _java_version(found) < JAVA_MINIMUM:
            self._apt(["openjdk-17-jre-headless"], why="Kafka runs on it")
            found = next(iter(sorted(Path("/usr/lib/jvm").glob("java-17-*/bin/java"))), None) or _which("java")
        if found is None or _java_version(found) < JAVA_MINIMUM:
            raise InstallError(
                f"Kafka {KAFKA} needs Java {JAVA_MINIMUM} or later",
                where=f"found {found or 'none'}",
                remedy="Put such a Java first in $PATH and run `make servers` again.",
            )
        return found

    def _download_kafka(self, into: Path) -> None:
        maven = _which("mvn")
        if maven is None:
            self._apt(["maven"], why="fetches Kafka")
            maven = _which("mvn") or Path("mvn")
        with tempfile.TemporaryDirectory() as work:
            shutil.copy(HERE / "kafka" / "pom.xml", work)
            goal = ["dependency:copy-dependencies", f"-DoutputDirectory={into}", "-DincludeScope=runtime"]
            self._do(
                [str(maven), "-q", "-B", "-Dstyle.color=never", *goal], cwd=Path(work), what="fetching Kafka with Maven"
            )

    def _build_influxdb(self, into: Path) -> None:
        """Build influxd from a module of our own: `go install` refuses its replace directive."""
        packages = {"clang": "clang", "pkg-config": "pkg-config", "protoc": "protobuf-compiler"}
        packages["gcc"] = "gcc libc6-dev"
        missing = [package for program, package in packages.items() if _which(program) is None]
        if missing:
            self._apt(" ".join(missing).split(), why="builds InfluxDB")
        go = self._go()
        self._rust()
        with tempfile.TemporaryDirectory(prefix="sotto-influxd-", dir=self._cache) as work_name:
            work = Path(work_name)
            for name in ("go.mod", "go.sum"):
                shutil.copy(HERE / "influxd" / name, work)
            # flux denies warnings, and every new Rust has warnings that it does not know yet.
            wrapper = work / "rustc"
            wrapper.write_text('#!/bin/sh\nr=$1\nshift\nexec "$r" "$@" --cap-lints warn\n')
            wrapper.chmod(0o755)
            environment = {
                "GOBIN": str(work),
                "PKG_CONFIG": str(work / "pkg-config"),  # theirs: it builds the Rust part when cgo asks for it
                "RUSTUP_TOOLCHAIN": os.environ.get("RUSTUP_TOOLCHAIN", "stable"),  # not the old one that flux names
                "RUSTC_WRAPPER": str(wrapper),
            }
            self._do([str(go), "install", PKG_CONFIG], cwd=work, env=environment, what="building InfluxDB's pkg-config")
            link = f"-ldflags=-s -w -X main.version=v{INFLUXDB}"  # what it says of itself at /health
            command = [str(go), "build", "-trimpath", link, "-tags=sqlite_foreign_keys,sqlite_json"]
            command += ["-o", str(into / "influxd"), "github.com/influxdata/influxdb/v2/cmd/influxd"]
            self._do(command, cwd=work, env=environment, what=f"building InfluxDB {INFLUXDB}")

    def _build_toxiproxy(self, into: Path) -> None:
        """Build what breaks connections on purpose. Its binary is called `server`."""
        command = [str(self._go()), "install", "-trimpath", "-ldflags=-s -w", TOXIPROXY_SOURCE]
        # Without cgo it needs no compiler of C.
        environment = {"GOBIN": str(into), "CGO_ENABLED": "0"}
        self._do(command, cwd=self._cache, env=environment, what=f"building toxiproxy {TOXIPROXY}")

    # -- what they are built with --------------------------------------------------------------------------------

    def _go(self) -> Path:
        go = _which("go", "/usr/local/go/bin")
        if go is None:
            self._apt(["golang-go"], why="builds InfluxDB and toxiproxy")
            go = _which("go") or Path("go")
        version = _version([str(go), "version"], r"go(\d+)\.(\d+)")
        if version >= GO_FIRST_WITH_TOOLCHAINS:
            return go
        # Debian 12 has Go 1.19, which is enough to fetch a newer one: it is a module like any other.
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        module = f"golang.org/toolchain@v0.0.1-go{GO_TOOLCHAIN}.linux-{machine}"
        output = self._do(
            [str(go), "mod", "download", "-json", module], cwd=self._cache, what=f"fetching Go {GO_TOOLCHAIN}"
        )
        root = Path(json.loads(output[output.index("{") : output.rindex("}") + 1])["Dir"])
        for program in (*root.glob("bin/*"), *root.glob("pkg/tool/*/*")):
            program.chmod(0o755)  # modules carry no modes
        return root / "bin" / "go"

    def _rust(self) -> None:
        if _which("cargo") is None:
            # Debian keeps a current Rust under this name, for the browsers; its `cargo` is too old.
            self._apt(["cargo-web", "rustc-web"], why="builds InfluxDB")
        environment = {"RUSTUP_TOOLCHAIN": os.environ.get("RUSTUP_TOOLCHAIN", "stable")}
        version = _version(["cargo", "--version"], r"cargo (\d+)\.(\d+)", environment)
        if version < RUST_MINIMUM:
            raise InstallError(
                f"cargo {'.'.join(map(str, version))} is too old to build InfluxDB {INFLUXDB}",
                where=str(_which("cargo")),
                remedy="Rust 1.72 or later is needed: `rustup update stable`, or Debian's cargo-web and rustc-web.",
            )

    # -- how ------------------------------------------------------------------------------------------------------

    def _cached(self, name: str, make: Callable[[Path], None], hint: str) -> Path:
        """Return `name` in the target directory: linked from the user's cache, and made there if it is new."""
        label = name.split("-", maxsplit=1)[0]
        target, cached = self._target / name, self._cache / name
        if not target.exists():
            if not cached.exists():
                _say(label, hint)
                began = time.monotonic()
                with self._scratch() as made:
                    make(made)
                    made.rename(cached)  # only what is complete gets the name
                _say(label, f"done in {time.monotonic() - began:.0f} s")
            else:
                _say(label, f"taken from {cached}")
            with self._scratch(self._target) as copy:
                shutil.copytree(cached, copy, copy_function=_link, dirs_exist_ok=True)
                copy.rename(target)
        _say(label, f"ready: {target}")
        return target

    @contextmanager
    def _scratch(self, parent: Path | None = None) -> Iterator[Path]:
        made = Path(tempfile.mkdtemp(prefix="unfinished-", dir=parent or self._cache))
        made.chmod(0o755)
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one installation run at a time: two would build the same for minutes."""
        with (self._cache / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _say("servers", "another installation is running; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _apt(self, packages: Sequence[str], *, why: str) -> None:
        line = f"apt-get install {' '.join(packages)}"
        if _which("apt-get") is None:
            raise InstallError(
                f"{', '.join(packages)} is needed ({why}), and this machine has no apt-get",
                where=f"{platform.system()} {platform.release()}",
                remedy="Install it with this system's own means and run `make servers` again.",
            )
        if os.geteuid() != 0:
            raise InstallError(
                f"{', '.join(packages)} is needed ({why}), and only root can install it",
                where=f"user {os.geteuid()}",
                remedy=f"Run: sudo {line}\n    and then `make servers` again.",
            )
        _say("debian", f"{line} ({why})")
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        if not self._apt_updated:
            self._do(["apt-get", "update", "-q"], env=quiet, what="reading Debian's list of packages")
            self._apt_updated = True
        command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
        self._do(command, env=quiet, what=line)

    def _do(
        self, command: Sequence[str], *, what: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        """Run a command with its output in the log, and say now and then that it still runs."""
        with self._log.open("r+") as log:
            log.seek(0, os.SEEK_END)
            log.write(f"\n$ {' '.join(command)}\n")
            log.flush()
            start = log.tell()
            began = said = time.monotonic()
            process = subprocess.Popen(
                command, cwd=cwd, env=os.environ | (env or {}), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            try:
                while process.poll() is None:
                    time.sleep(0.1)
                    if time.monotonic() - said >= 30:
                        said = time.monotonic()
                        _say("...", f"{what}, {said - began:.0f} s so far")
            finally:
                if process.poll() is None:  # Ctrl-C: the compiler must not go on without us
                    process.terminate()
                    process.wait()
            log.seek(start)
            output = log.read()
        if process.returncode != 0:
            last = "\n".join(f"    | {line}" for line in output.splitlines()[-15:])
            raise InstallError(
                f"{what} failed: {Path(command[0]).name} ended with {process.returncode}",
                where=f"{self._log}\n{last}",
                remedy="If it is the network, run `make servers` again: what is complete is kept.",
            )
        return output


def _which(program: str, *more: str) -> Path | None:
    found = shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *more)))
    return Path(found) if found else None


def _link(source: str, target: str) -> None:
    """Link where the cache and the clone are on one file system, copy where they are not."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _version(command: Sequence[str], pattern: str, env: Mapping[str, str] | None = None) -> tuple[int, ...]:
    """Ask a program for its version; (0,) where it does not run, as the stubs of version managers do not."""
    try:
        done = subprocess.run(
            command, env=os.environ | (env or {}), capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return (0,)
    match = re.search(pattern, done.stdout + done.stderr)
    return tuple(int(part) for part in match.groups()) if match else (0,)


def _java_version(java: Path) -> int:
    return _version([str(java), "-version"], r'version "(\d+)')[0]


def _say(what: str, text: str) -> None:
    print(f"  {what:10} {text}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Install the servers; say what is going on, and how long it may take."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.servers install",
        description="Install mosquitto, Kafka, InfluxDB and toxiproxy for the tests. "
        "SOTTO_SERVERS names another directory than .servers; what was built is also kept in ~/.cache/sotto-servers.",
    )
    parser.parse_args(arguments)
    found = installed()
    if found is not None:
        _say("mosquitto", f"ready: {found.mosquitto}")
        _say("kafka", f"ready: {found.kafka}")
        _say("influxdb", f"ready: {found.influxd}")
        _say("toxiproxy", f"ready: {found.toxiproxy}")
        return 0
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sotto-servers"
    try:
        Installer(target=directory(), cache=cache).run()
    except InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what is complete is kept, run `make servers` again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
