"""Keys on their way: encrypted for one keystore, for an operator's key, or agreed by encapsulation."""
