"""Key items: what one holds, under which name it is kept, how it is sealed, and the shelf they stand on."""
