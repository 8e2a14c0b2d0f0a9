"""Where sealed key items are kept: the Store protocol and its implementations."""
