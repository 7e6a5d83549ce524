"""A client that writes as long as its input lasts: each request is one write, each answer one acknowledged write.

Run by path in a lab machine, on the standard library alone: `client.py ADDRESS`. Prints `COUNT MICROSECONDS` for each.
"""

# ruff: noqa: T201 - its lines are its record

import http.client
import json
import select
import sys
import time

PORT = 8080
ANSWER_S = 2.0
PAUSE_S = 0.03
"""Between two writes, so that the client takes little of the machine."""


def main() -> None:
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        connection = http.client.HTTPConnection(sys.argv[1], PORT, timeout=ANSWER_S)
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            answer = json.loads(response.read())
            if response.status == http.client.OK:
                print(answer["count"], time.time_ns() // 1000, flush=True)
        except (OSError, http.client.HTTPException, ValueError):
            pass  # it has no acknowledgement, and so no promise
        finally:
            connection.close()


if __name__ == "__main__":
    main()
