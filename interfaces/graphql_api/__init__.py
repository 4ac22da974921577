"""GraphQL: the bank's commands are mutations, its read models are queries."""
