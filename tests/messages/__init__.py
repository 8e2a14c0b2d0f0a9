"""The formats of sealed messages."""
