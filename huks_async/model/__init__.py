"""What crosses the API: enums, parameters, results, errors, limits. Imports nothing else of this package."""
