"""Verifies the log in a database once, in a process that has nothing else: its memory is that of an
auditor's. See auditing.py."""

import json
import sys
import time
from typing import Final

from application.proof.note import Verifier
from application.proof.policy import Policy
from application.proof.walk import verify
from application.verification import StoredLog

_USAGE: Final = "python -m bench.online URL KEY PROCESSES"


def main() -> None:
    try:
        url, key, processes = sys.argv[1:]
    except ValueError:
        sys.exit(_USAGE)
    began = time.perf_counter()
    with StoredLog(url) as log:
        verified = verify(log, Policy(Verifier.parse(key)), processes=int(processes))
    seconds = time.perf_counter() - began
    sys.stdout.write(json.dumps({"records": verified.records, "seconds": seconds}) + "\n")


if __name__ == "__main__":
    main()
