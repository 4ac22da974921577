"""Verifies the log in a database once, in a process that has nothing else: its memory is that of an
auditor's. See programs.py."""

import argparse
import json
import os
import sys
import time

from application.proof.note import Verifier
from application.proof.policy import Policy
from application.proof.walk import verify
from application.verification import StoredLog


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.online", description=__doc__)
    parser.add_argument("url", help="of the database")
    parser.add_argument("--key", help="by which it was signed, if it was")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    policy = None if given.key is None else Policy(Verifier.parse(given.key))
    began = time.perf_counter()
    with StoredLog(given.url) as log:
        verified = verify(log, policy, processes=given.processes)
    seconds = time.perf_counter() - began
    sys.stdout.write(json.dumps({"records": verified.records, "seconds": seconds}) + "\n")


if __name__ == "__main__":
    main()
