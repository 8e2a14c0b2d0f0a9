"""The forms that keys have outside of a keystore, and how each is read, written, named and checked."""
