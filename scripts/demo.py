# SPDX-License-Identifier: MIT
"""The demonstration behind scripts/demo. Every line of its tables is a real request through the proxy; expectations are
checked, and the exit code is 1 when one does not hold."""
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from harness import Platform, plain  # noqa: E402
from health import Club  # noqa: E402
import demo_health  # noqa: E402

USERS = [  # name, class, clearance (None: the class's)
    ("ann", "trainer", None),
    ("bob", "trainer", None),
    ("mia", "medic", None),
    ("gus", "guest", None),
]
LIFETIMES = ("class", "user", "request")
SECRET = "ann's diagnosis: torn ligament, out for six months"


class Demo:
    def __init__(self, platform, before=None):
        """`before`: the part of the demonstration that this one continues."""
        self.platform, self.sessions, self.calls = platform, getattr(platform, "sessions", {}), []
        self.broken, self.rows = (before.broken, before.rows) if before else ([], [])
        self.client = platform.client()  # one kept connection, as a browser has

    def call(self, user, path, show=True, **kw):
        start = time.perf_counter()
        answer = self.platform.call(self.sessions[user], path, client=self.client, **kw)
        took = (time.perf_counter() - start) * 1000
        self.calls.append(answer)
        label = answer.headers.get("ppce-label") or kw.get("label") or "-"
        self.rows.append(f"  {user:5}{label:28}{path.split('?')[0]:27}{answer.status:6}  "
                         f"{(answer.instance or '-')[:8]:10}{answer.start or '-':10}{took:7.2f} ms")
        if show:
            print(self.rows[-1])
        return answer

    def expect(self, holds, what):
        print(f"  {'ok  ' if holds else 'FAIL'} {what}")
        if not holds:
            self.broken.append(what)


def heading(text):
    print(f"\n{text}")


def columns():
    print(f"  {'user':5}{'label':28}{'request':27}{'status':>6}  {'instance':10}{'start':10}{'time':>10}")


def set_up(demo):
    p = demo.platform
    for image in ("hello", "leaky"):
        p.add_image(image)
        for lifetime in LIFETIMES:
            p.add_app(f"{image}-{lifetime}", image, lifetime)
    for name, cls, clearance in USERS:
        p.add_user(name, clearance, cls)
        demo.sessions[name] = p.login(name)
        print(f"  {name} is a {cls}, cleared for {demo.sessions[name].label}")


def show_main_job(demo):
    for lifetime, words in (("class", "one virtual machine for everyone of exactly one label"),
                            ("user", "one virtual machine for each user"),
                            ("request", "a pristine virtual machine for each request")):
        heading(f"Lifetime `{lifetime}`: {words}")
        columns()
        seen = {}
        for user in ("ann", "bob", "mia", "gus", "ann", "bob"):
            answer = demo.call(user, f"/hello-{lifetime}/")
            seen.setdefault(user, []).append(answer)
            time.sleep(0.02)
        own = {user: plain(demo.sessions[user].label) or "level=UNCLASSIFIED" for user in seen}
        good = all(a.status == 200 and own[user] in a.text for user, list_ in seen.items() for a in list_)
        demo.expect(good, "every user is answered at exactly their own label")
        shared = seen["ann"][0].instance == seen["bob"][0].instance
        if lifetime == "class":
            demo.expect(shared, "ann and bob, both trainers, share an instance; the others do not")
        if lifetime == "user":
            demo.expect(not shared, "ann and bob, though both trainers, do not share an instance")
        if lifetime == "request":
            demo.expect(seen["ann"][1].start == "pristine", "ann's second request finds a pristine instance")
        demo.expect(seen["mia"][0].instance not in (seen["ann"][0].instance, seen["gus"][0].instance),
                    "different labels never share an instance")


def show_refusals(demo):
    heading("What is refused")
    columns()
    above = demo.call("gus", "/hello-request/", label="level=NATO_SECRET")
    below = demo.call("ann", "/hello-request/", label="level=NATO_RESTRICTED")
    forged = demo.call("gus", "/hello-request/", headers={"PPCE-User": "ann", "X-PPCE-Label": "level=COSMIC_TOP_SECRET"})
    demo.expect(above.status == 403, "gus cannot ask for a label above his clearance")
    demo.expect(below.status == 200, "ann can run one request below hers")
    demo.expect("UNCLASSIFIED" in forged.text, "identity headers of a client are ignored")
    nobody = demo.platform.call(None, "/hello-request/")
    demo.calls.append(nobody)
    demo.expect(nobody.status == 401, "without a token nothing is answered")


def leaks(demo, lifetime):
    """(over-read leaks, wrong cache leaks): bob looks for what is ann's."""
    app = f"/leaky-{lifetime}"
    demo.call("ann", f"{app}/echo", show=False, method="POST", body=SECRET)
    time.sleep(0.02)
    echoed = demo.call("bob", f"{app}/echo?len=64", show=False, method="POST", body="b")
    demo.call("ann", f"{app}/return", show=False)
    time.sleep(0.02)
    page = demo.call("bob", f"{app}/return", show=False)
    assert echoed.status == 200 and page.status == 200
    return "diagnosis" in echoed.text, "of ann" in page.text


def show_leaks(demo):
    heading("An app with two classic bugs (apps/leaky.c): does bob get to see what is ann's?")
    print(f"  {'lifetime':12}{'over-read of a reused buffer':32}cache keyed wrongly")
    for lifetime in LIFETIMES:
        over_read, cache = leaks(demo, lifetime)
        print(f"  {lifetime:12}{'LEAKS' if over_read else 'no leak':32}{'LEAKS' if cache else 'no leak'}")
        if lifetime == "class":
            demo.expect(over_read and cache, "shared by a class, the bugs show bob what is ann's")
        else:
            demo.expect(not over_read and not cache, f"with lifetime `{lifetime}` the same bugs leak nothing")


def show_audit(demo):
    heading("Audit: every decision is one line")
    lines = demo.platform.audit(event="request")
    ids = [line["request_id"] for line in lines]
    asked = [a.headers.get("ppce-request-id") for a in demo.calls]
    demo.expect(sorted(ids) == sorted(asked), f"{len(asked)} requests, {len(ids)} decision lines, one for each")
    refused = [line for line in lines if not line["allowed"]]
    for line in refused:
        print(f"  refused: {line.get('actor', 'nobody')} {line.get('app', '')} {line.get('rule', '')} {line.get('reason', '')}")
    demo.expect(len(refused) == 2, "two of them refusals")


def show_isolation(ready_line):
    isolation = ready_line.partition("(isolation: ")[2].rstrip().rstrip(")") or "unknown"
    print(f"\nIsolation in force: {isolation}")
    if "process" in isolation:
        print("  /dev/kvm is not usable here, so jailed processes took the place of virtual machines"
              " (`ppce doctor` says why).")


def main():
    with tempfile.TemporaryDirectory(prefix="ppce-demo-") as tmp:
        print("== start", file=sys.stderr)
        with Platform(pathlib.Path(tmp) / "ppce") as platform:
            print(platform.ready_line.strip())
            demo = Demo(platform)
            set_up(demo)
            show_main_job(demo)
            show_refusals(demo)
            show_leaks(demo)
            show_audit(demo)
        print("== start of a second platform, with the health records of a sports club", file=sys.stderr)
        club = Club(pathlib.Path(tmp) / "club")
        certificate = club.sign("stats")
        with club:
            second = Demo(club, demo)
            demo_health.show(second, certificate)
        demo_health.show_tampering(second)
        heading("All requests of this demonstration, as users saw them")
        columns()
        print(*second.rows, sep="\n")
        show_isolation(platform.ready_line)
    if second.broken:
        print(f"{len(second.broken)} expectation(s) did not hold")
        return 1
    print("All expectations held.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
