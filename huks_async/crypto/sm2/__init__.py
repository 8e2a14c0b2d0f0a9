"""SM2: signatures and encryption on the curve of GB/T 32918.

`sm2` is the family, `operations` are its running operations, `encoding` is what goes over the wire, and
`backend` is the interface to a library that computes; the one there is stands on `libcrypto`, because the
wheels of `cryptography` leave SM2 out. Only `backend_libcrypto` knows that.
"""
