"""What the figures were taken on."""

import os
import platform
import resource
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

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
