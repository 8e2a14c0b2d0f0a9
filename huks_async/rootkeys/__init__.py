"""What protects the sealed items: the RootKey protocol and its implementations."""
