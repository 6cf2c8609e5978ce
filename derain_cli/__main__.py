"""`python -m derain_cli`."""

import sys

from derain_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
