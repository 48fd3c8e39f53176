"""`python -m hubbub`: the command line, which needs the extra ``server``."""

from hubbub.server.cli import main

if __name__ == "__main__":
    main()
