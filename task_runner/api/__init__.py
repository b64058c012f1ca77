"""HTTP only: routes, streaming, problems."""
