"""The bank for programs that speak no GraphQL: resources under /v1, answered by its documents."""
