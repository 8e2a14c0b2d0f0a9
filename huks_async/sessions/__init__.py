"""Key sessions: the table, the dispatch of work, low memory."""
