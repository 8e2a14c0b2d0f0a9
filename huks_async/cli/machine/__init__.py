"""What this machine and this version offer."""
