"""`huks keys …`: keys made, imported, looked at, attested, converted."""
