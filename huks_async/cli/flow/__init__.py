"""Long inputs through threads: where they come from, how they are worked on, and what is told meanwhile."""
