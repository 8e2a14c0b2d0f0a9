"""A second OpenSSL, called through ctypes, for what the wheels of `cryptography` leave out.

`search` finds a library that is sound, `binding` declares and calls its functions, `generation` makes keys and
primes with it. The room knows the names of OpenSSL's algorithms; which of our algorithms need them, and when,
is decided by those who call.
"""
