"""What the figures were taken on."""

import json
import os
import platform
import resource
import subprocess
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from contestants import NGINX, NODE, PYTHON, Contestant

PACKAGES = ("hubbub", "uvicorn", "uvloop", "websockets", "fastapi", "starlette")


def describe() -> str:
    """Return processor, cores, kernel and versions on one line."""
    return ", ".join(
        [
            f"{_processor()}, {os.cpu_count()} cores",
            f"{platform.system()} {platform.release()}",
            f"Python {platform.python_version()}",
            *(f"{package} {_version(package)}" for package in PACKAGES),
        ]
    )


def versions(contestants: Iterable[Contestant]) -> Iterator[str]:
    """Return each server with its version."""
    for each in contestants:
        kind, _, name = each.package.partition(":")
        match kind:
            case "node":
                package = json.loads((NODE / "node_modules" / name / "package.json").read_text())
                yield f"{each.name} {package['version']} (Node {_said('node', '--version')})"
            case "peer":
                found = distributions(
                    name=name, path=[str(path) for path in PYTHON.parent.glob("lib/*/site-packages")]
                )
                yield f"{each.name} {next((one.version for one in found), '?')}"
            case "nginx":
                yield f"{each.name} (Debian's, {_said(str(NGINX / 'sbin' / 'nginx'), '-v').rpartition(' ')[2]})"
            case _:
                yield each.name


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().removeprefix("v")


def cores() -> tuple[int, int]:
    """Return the core for the server and the one for the client; the same where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def lift_file_limit() -> int:
    """Let this process and its children open as many files as the system permits, and return that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
