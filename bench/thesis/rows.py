# SPDX-License-Identifier: MIT
"""What is measured: the rows, the thesis's figures beside them, and the modes of the platform that make them."""
from dataclasses import dataclass, field


@dataclass
class Figure:
    """What the thesis says, in microseconds. `mean` is approximate where it gives neither deviation nor table."""
    mean: float
    sd: float | None = None
    n: int | None = None


@dataclass
class Row:
    key: str
    title: str
    group: str
    thesis: Figure | None = None
    us: list = field(default_factory=list)
    phases: list = field(default_factory=list)
    failures: list = field(default_factory=list)  # (sample, reason)
    left_out: str = ""


@dataclass
class Mode:
    """An app, and what its first and its next requests are after the platform's start."""
    app: str
    title: str
    group: str
    options: dict
    first: str = "cold"  # PPCE-Start
    next: str = "warm"
    next_row: bool = True
    warm: int = 0  # instances that are made ahead
    pause_s: float = 0.01  # between further requests, so that a reset is over, or a shell made
    thesis: Figure | None = None
    thesis_next: Figure | None = None

    @property
    def tap(self):
        return self.options.get("transport") == "tap"


TAP = {"transport": "tap", "lifetime": "class"}
BOOT = {**TAP, "start": "boot", "shells": "none"}

MODES = [
    Mode("initial", "Initial: boot and tap made for the request", "system", {**BOOT, "taps": "none"},
         thesis=Figure(63150, 7560, 20), thesis_next=Figure(4000)),
    Mode("hybrid", "Hybrid: boot for the request, tap from the pool", "system", {**BOOT, "taps": "pool"}, next_row=False,
         thesis=Figure(29350, 3920, 20)),
    Mode("aot", "AOT: booted ahead", "system", {**BOOT, "taps": "pool"}, first="warm", next_row=False, warm=1,
         thesis=Figure(4450, 1150, 20)),
    Mode("tap-class", "tap, class", "tap", {**TAP, "start": "restore", "shells": "pool", "taps": "pool"}),
    Mode("tap-request", "tap, request", "tap",
         {**TAP, "lifetime": "request", "start": "restore", "shells": "pool", "taps": "pool"}, next="pristine",
         pause_s=0.05),
    Mode("class", "channel, class", "channel", {"lifetime": "class"}),
    Mode("user", "channel, user", "channel", {"lifetime": "user"}),
    Mode("request", "channel, request, reset", "channel", {"lifetime": "request"}, next="pristine", pause_s=0.05),
    Mode("discard", "channel, request, discard", "channel", {"lifetime": "request", "mode": "discard"}, next="cold",
         pause_s=0.1),
]

# (key in bench-net's JSON, title, the thesis's figure)
TAPS = [
    ("commands", "Tap made and attached by three `ip` commands", Figure(6788.9, 3232.7, 1000)),
    ("netlink", "Tap made and attached by netlink, as ppce-net does", Figure(6788.9, 3232.7, 1000)),
    ("on_demand", "Tap asked of ppce-net, none made ahead", Figure(6788.9, 3232.7, 1000)),
    ("take", "Tap from ppce-net's pool, ppce-net asleep", None),
    ("take_row", "Tap from ppce-net's pool, eight in a row", None),
    ("floor", "A process that only sends a descriptor back", None),
]

BOOT_ROW = Row("boot", "Boot: spawn until TCP accepts", "boot", Figure(21781.8, 2361.2, 20))
GROUPS = ("system", "boot", "taps", "tap", "channel")


def rows_of(mode):
    """The row of the first request, and that of the next ones or None."""
    if mode.group == "system":
        first = Row(mode.app, mode.title, mode.group, mode.thesis)
        title = "Subsequent requests to the same"
    else:
        first = Row(f"{mode.app}-first", f"{mode.title}: {mode.first}", mode.group, mode.thesis)
        title = f"{mode.title}: {mode.next}" + ("" if mode.next != mode.first else ", further ones")
    following = Row(f"{mode.app}-next", title, mode.group, mode.thesis_next) if mode.next_row else None
    return first, following
