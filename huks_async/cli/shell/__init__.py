"""How the command meets the shell: what it says and how it ends, signals, files and pipes."""
