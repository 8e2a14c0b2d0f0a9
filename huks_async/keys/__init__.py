"""Key items: their life, their layouts, sealing at rest."""
