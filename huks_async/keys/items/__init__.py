"""Key items: what they hold, how they are named and sealed, and the shelf that finds and keeps them."""
