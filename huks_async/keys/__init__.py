"""Keys: the forms they have outside, the items they are inside, and their ways between keystores.

`forms` knows bytes alone. `items` keeps keys under their names; `wrapping` carries them encrypted;
`attestation` vouches for them; `lifecycle` makes them, out of all of these.
"""
