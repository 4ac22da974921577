"""Prints the schema: `python -m interfaces.graphql_api > tests/contracts/schema.graphql`."""

import sys

from interfaces.graphql_api.schema import build_schema

sys.stdout.write(build_schema().as_str() + "\n")
