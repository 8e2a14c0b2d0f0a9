"""Who may do what: authentication and policy."""
