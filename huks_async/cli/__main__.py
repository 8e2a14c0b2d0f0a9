"""`python -m huks_async.cli` is the command `huks`."""

import sys

from huks_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
