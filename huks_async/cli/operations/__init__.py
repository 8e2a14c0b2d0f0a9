"""Keys used on files and pipes, and the format of encrypted files."""
