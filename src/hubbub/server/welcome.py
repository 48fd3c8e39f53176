"""What `hubbub serve` prints when it is ready: where the page is, and how to sign in."""

from rich.console import Console
from rich.text import Text

from hubbub.server.durations import written


def welcome(address: str, link: str, ttl: float) -> None:
    """Print the page's address and a sign-in link to standard output.

    A link is never broken into lines: people copy it, and programs read it from a pipe.
    """
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(Text.assemble(("Hubbub", "bold"), " is ready: ", (address + "/", "bold cyan")))
    console.print(Text.assemble(f"Sign in as admin (once, within {written(ttl)}): ", (link, "cyan")))
    console.print(Text("Stop with Ctrl-C.", "dim"))
    console.file.flush()
