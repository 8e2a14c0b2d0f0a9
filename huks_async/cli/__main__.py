"""`python -m huks_async.cli` is the command `huks`."""

from huks_command import main

if __name__ == "__main__":
    main()
