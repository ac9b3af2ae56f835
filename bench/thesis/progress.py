# SPDX-License-Identifier: MIT
"""What is being done, on standard error: one line that is rewritten on a terminal, now and then a line elsewhere."""
import sys
import time

EVERY_S = 5


class Progress:
    def __init__(self):
        self.terminal = sys.stderr.isatty()
        self.start = time.monotonic()
        self.last = -EVERY_S

    def step(self, what, done, of):
        now = time.monotonic() - self.start
        text = f"{what} {done}/{of}, {int(now) // 60}:{int(now) % 60:02d}"
        if self.terminal:
            print(f"\r\033[K{text[:100]}", end="", file=sys.stderr, flush=True)
        elif now - self.last >= EVERY_S:
            self.last = now
            print(f"bench: {text}", file=sys.stderr, flush=True)

    def failed(self, what, why):
        self.end()
        print(f"bench: {what}: {why}", file=sys.stderr, flush=True)

    def end(self):
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
