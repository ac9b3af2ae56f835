# SPDX-License-Identifier: MIT
"""The second half of scripts/demo: labelled data. The records of a sports club (examples/health): who may see what, who
opened it, and who can tell afterwards."""
from health import squad


def heading(text):
    print(f"\n{text}")


def set_up(demo, certificate):
    club = demo.platform
    club.add_apps("records", "stats")
    club.add_people("p1", ("ann", "trainer"), ("rex", "researcher"))
    print("  442 real patients of a public study stand for the players; p1 is one, ann a trainer, rex a researcher")
    club.collect(squad(1), "medical", f"certificate:{certificate}", "paper")
    print("  olga, an officer, has certified the image of apps/stats for means over squads; squad 1 has agreed on paper")


def show_consent(demo):
    heading("Labelled data: p1's records carry the label own={p1/training}, and the platform keeps to it")
    path, club = "/records/player/p1/training", demo.platform
    own = demo.call("p1", "/records/me")
    demo.expect(own.status == 200 and '"bmi", "value": 32.1' in own.text, "p1 sees his own records")
    demo.expect(demo.call("ann", path).status == 403, "ann, a trainer, is refused: p1 has not consented (rule R2)")
    consent = club.consent("p1", "coach", "training", "ann")
    demo.expect(consent.status == 201, "p1 consents: PUT /v1/grants/coach with his own token")
    club.enter("ann")
    demo.expect(demo.call("ann", path).status == 200, "the same request of ann succeeds after her next login")
    demo.expect(demo.call("ann", "/records/player/p1/medical").status == 403, "his medical records stay closed to her")


def show_aggregate(demo):
    heading("Declassification: one number over a squad leaves, under a certificate; nothing else does")
    raw = demo.call("rex", "/records/player/p1/medical")
    demo.expect(raw.status == 403, "rex, a researcher, does not get p1's records")
    mean = demo.call("rex", "/stats/mean?squad=s1&measure=glucose")
    demo.expect(mean.status == 200, f"he gets the mean glucose of squad 1: {mean.text.strip()[:60]}")
    small = demo.call("rex", "/stats/mean?squad=s23&measure=glucose")
    demo.expect(small.status in (403, 404), "and none of squad 23, which has two players")


def show_who_saw(demo):
    heading("Evidence: `ppce audit who-saw p1`")
    rows = demo.platform.cli_json("audit", "who-saw", "p1")
    print(demo.platform.cli("audit", "who-saw", "p1").rstrip())
    seen = {(row.get("who"), row.get("event"), row.get("outcome")) for row in rows}
    demo.expect(("ann", "read", "refused") in seen, "the refusal is there")
    demo.expect(("ann", "read", "allowed") in seen, "so is what ann saw after the consent")
    demo.expect(("rex", "declassify", "allowed") in seen, "and the number that rex got")


def show(demo, certificate):
    heading("A sports club's health records")
    set_up(demo, certificate)
    show_consent(demo)
    show_aggregate(demo)
    show_who_saw(demo)


def verify(demo):
    done = demo.platform.run("audit", "verify", "-C", demo.platform.dir)
    print("  " + (done.stdout + done.stderr).strip().replace("\n", "\n  "))
    return done.returncode


def show_tampering(demo):
    """After the platform's end: somebody with the disk in their hands."""
    heading("The log is checked, then one byte of it is changed (ann becomes enn) and it is checked again")
    path, = (demo.platform.dir / "log" / "audit" / "data").glob("*.jsonl")
    demo.expect(verify(demo) == 0, "`ppce audit verify` passes")
    log = path.read_bytes()
    at = log.index(b'"ann"') + 1
    path.write_bytes(log[:at] + b"e" + log[at + 1:])
    demo.expect(verify(demo) == 1, "`ppce audit verify` does not pass any more")
