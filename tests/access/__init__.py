"""Tests of callers and policies."""
