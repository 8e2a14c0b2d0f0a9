"""Documented functions that are not built: each would answer with the documented code for 'not supported'.

The list is read by a test and by the documentation. It is empty: `wrapKeyItem` and `unwrapKeyItem`
answer 801 until an operator's key is given (`Keystore.open(wrapping_key=…)`), all others work.
"""

UNBUILT: dict[str, str] = {}
"""Function → what it waits for. All answer 801."""
