"""HUKS key sessions for async Python."""
