"""The command `huks`."""
