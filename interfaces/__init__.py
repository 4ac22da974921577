"""Talks to the world: GraphQL, the command line, the database, and the composition root."""
