"""Helpers for the tests of services that use this library. Nothing here belongs into a running service."""

from huks_async.testing.authenticators import EverybodyAuthenticator

__all__ = ["EverybodyAuthenticator"]
