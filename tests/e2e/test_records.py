# SPDX-License-Identifier: MIT
"""The health records of examples/health, with real data: what the rules let through and what they do not."""
import re
import sqlite3

import pytest

import harness
import health

# Bits that apps/curious smuggles: is the first value of the squad odd? One squad of each kind, from the data.
CHANNELS = ["status", "header", "body", "length", "error", "crash", "exit", "log", "timing", "memory", "deadline",
            "release", "form"]
OWN_TO_EACH_ANSWER = {"date", "ppce-request-id", "server-timing", "ppce-instance", "ppce-start"}


def first_bit(database, squad):
    with sqlite3.connect(database) as db:
        row = db.execute("SELECT value FROM medical JOIN players USING (player) WHERE squad = ? AND measure = 'glucose' "
                         "ORDER BY player", (f"s{squad}",)).fetchone()
    db.close()
    return int(row[0]) & 1


@pytest.fixture(scope="module")
def club(platform_dir, backend, database):
    queries = (health.EXAMPLE / "queries.yaml").read_text().replace("apps: [stats, curious]", "apps: [stats, curious, kept]")
    c = health.Club(f"{platform_dir}/club-{backend}", database, queries=queries, backend=backend)
    c.certificate = c.sign("stats")
    c.fooled = c.sign("curious", "curious-mean")
    with c:
        c.add_apps("records", "stats", "curious")
        c.add_app("kept", "curious", "user")  # its instances keep their memory
        c.add_people("p1", "p2", "p3", ("ann", "trainer"), ("mia", "medic"), ("rex", "researcher"),
                     ("rita", "researcher", "level=CONFIDENTIAL"), ("olga", "officer"))
        c.odd = next(s for s in range(1, 19) if first_bit(database, s))
        c.even = next(s for s in range(1, 19) if not first_bit(database, s))
        for s in sorted({1, c.odd, c.even}):
            for certificate in (c.certificate, c.fooled):
                c.collect(health.squad(s), "medical", f"certificate:{certificate}", f"form-{certificate[:8]}")
        c.enter("rex")
        yield c


def values(answer, category):
    assert answer.status == 200, answer
    return {row["measure"]: row["value"] for row in answer.json()[category]}


# Players


def test_players_see_their_own_rows(club):
    assert values(club.get("p1", "/records/me"), "training") == {"bmi": 32.1, "blood_pressure": 101}
    assert values(club.get("p1", "/records/me"), "medical") == {
        "age": 59, "cholesterol": 157, "ldl": 93.2, "hdl": 38, "glucose": 87, "progression": 151}
    assert values(club.get("p2", "/records/me"), "training") == {"bmi": 21.6, "blood_pressure": 87}
    assert values(club.get("p1", "/records/player/p1/medical"), "medical")["glucose"] == 87


@pytest.mark.parametrize("who", ["p2", "ann", "mia", "rex", "rita", "olga"])
@pytest.mark.parametrize("category", ["training", "medical"])
def test_nobody_sees_them_without_consent(club, who, category):
    answer = club.get(who, f"/records/player/p1/{category}")
    assert answer.status == 403 and "value" not in answer.text


def test_what_a_player_adds_is_theirs(club):
    assert club.get("p3", "/records/me", method="POST", body="measure=weight&value=71.5").status == 201
    assert values(club.get("p3", "/records/me"), "training")["weight"] == 71.5
    assert club.get("p3", "/records/me", method="POST", body="measure=weight&value=72").status == 409
    assert "weight" not in values(club.get("p1", "/records/me"), "training")
    assert club.get("p1", "/records/player/p3/training").status == 403


@pytest.mark.parametrize("body", ["", "measure=weight", "measure=weight&value=", "measure=weight&value=1 ",
                                  "measure=a'b&value=1", "measure=weight&value=nan", "value=1&measure=weight"])
def test_bad_forms_are_refused(club, body):
    assert club.get("p2", "/records/me", method="POST", body=body).status == 400


def test_other_paths(club):
    assert club.get("p1", "/records/player/p1/secrets").status == 404
    assert club.get("p1", "/records/player//training").status == 404
    assert club.get("p1", "/records/me", method="PUT", body="x").status == 405
    assert club.get("p1", "/records/player/p1%2F..%2Fp2/training").status == 404


# Consent


def test_consent_opens_and_its_revocation_closes(club):
    assert club.get("ann", "/records/player/p2/training").status == 403
    assert club.consent("p2", "coach-of-p2", "training", "ann").status == 201
    assert club.get("ann", "/records/player/p2/training").status == 403  # this session began before
    before = club.enter("ann")
    assert values(club.get("ann", "/records/player/p2/training"), "training")["bmi"] == 21.6
    assert club.get("ann", "/records/player/p2/medical").status == 403
    assert club.get("ann", "/records/player/p1/training").status == 403
    assert club.revoke("p2", "coach-of-p2").status == 204
    assert club.call(before, "/records/player/p2/training").status == 401
    club.enter("ann")
    assert club.get("ann", "/records/player/p2/training").status == 403


def test_consent_is_for_a_purpose(club):
    assert club.consent("p3", "coach-of-p3", "training", "ann").status == 201
    other = club.login("ann", purpose="curiosity")
    assert club.call(other, "/records/player/p3/training").status == 403
    club.enter("ann")
    assert club.get("ann", "/records/player/p3/training").status == 200


def test_only_owners_consent(club):
    answer = club.consent("ann", "to-myself", "training", "ann", owner="p1")
    assert answer.status == 403
    club.enter("ann")
    assert club.get("ann", "/records/player/p1/training").status == 403


# Certificates


def test_a_researcher_gets_the_certified_number_only(club, database):
    answer = club.get("rex", "/stats/mean?squad=s1&measure=glucose")
    assert answer.status == 200 and answer.json() == {"mean": 84, "players": 20}
    assert answer.headers.get("content-type") == "application/json"
    assert club.get("rex", "/records/player/p1/medical").status == 403


def test_players_who_did_not_authorise_it(club):
    """Nobody in squad 19 has signed the form, so the app gets no row of it; one more than the minimum of squad 20 has."""
    assert club.get("rex", "/stats/mean?squad=s19&measure=glucose").status == 404
    club.collect(health.squad(20)[:6], "medical", f"certificate:{club.certificate}", "few")
    assert club.get("rex", "/stats/mean?squad=s20&measure=glucose").json()["players"] == 6


def test_an_authorisation_that_is_taken_back(club):
    club.collect(health.squad(21)[:5], "medical", f"certificate:{club.certificate}", "five")
    assert club.get("rex", "/stats/mean?squad=s21&measure=glucose").status == 200
    assert club.rest("auth", "DELETE", f"/v1/grants/five-{health.squad(21)[0]}").status == 204
    answer = club.get("rex", "/stats/mean?squad=s21&measure=glucose")
    assert answer.status in (403, 404) and "mean\":" not in answer.text


def test_a_group_that_is_too_small_for_the_automaton(club):
    club.collect(health.squad(23), "medical", f"certificate:{club.certificate}", "form-small")
    answer = club.get("rex", "/stats/mean?squad=s23&measure=glucose")
    assert answer.status in (403, 404) and "mean\":" not in answer.text


def test_a_group_that_is_too_small_for_the_certificate(platform_dir, backend, database):
    """Without the automaton, which would refuse before."""
    queries = re.sub(r"    use: .*event: aggregate}\n", "", (health.EXAMPLE / "queries.yaml").read_text())
    assert "event: aggregate" not in queries
    c = health.Club(f"{platform_dir}/small-{backend}", database, queries=queries, backend=backend)
    certificate = c.sign("stats")
    with c:
        c.add_apps("stats")
        for s in (2, 23):
            c.collect(health.squad(s), "medical", f"certificate:{certificate}", "form")
        c.add_people(("rex", "researcher"))
        assert c.get("rex", "/stats/mean?squad=s2&measure=glucose").status == 200
        assert c.get("rex", "/stats/mean?squad=s23&measure=glucose").status == 403
        refused = c.audit(event="declassify", allowed=False)
        assert [record["rule"] for record in refused] == ["R7"]


def test_another_image_than_the_certified_one(club, tmp_path):
    """The same source, built with another option: not what the officer signed for."""
    path = harness.build_image(health.ROOT / "apps" / "stats.c", tmp_path / "stats", "-O1", "-DANOTHER")
    if health.digest(path) == health.digest(club.image_file("stats")):
        pytest.fail("the image did not change")
    club.add_image("stats2", path)
    club.cli("app", "rm", "stats")
    club.add_app("stats", "stats2", "request")
    try:
        answer = club.get("rex", "/stats/mean?squad=s1&measure=glucose")
        assert answer.status in (403, 404) and "mean\":" not in answer.text
    finally:
        club.cli("app", "rm", "stats")
        club.add_app("stats", "stats", "request")
    assert club.get("rex", "/stats/mean?squad=s1&measure=glucose").status == 200


# The curious app


def visible(answer):
    """Everything that a client sees of an answer but what is new in each one anyway."""
    headers = sorted((k.lower(), v) for k, v in answer.headers.items() if k.lower() not in OWN_TO_EACH_ANSWER)
    request_id = answer.headers.get("ppce-request-id")
    assert request_id
    return answer.status, headers, answer.body.replace(request_id.encode(), b"-")


def steal(club, who, channel, squad):
    return club.get(who, f"/curious/{channel}?squad=s{squad}&measure=glucose")


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_curious_app_gets_nothing_out(club, channel):
    odd, even = steal(club, "rex", channel, club.odd), steal(club, "rex", channel, club.even)
    assert odd.status == 403 and odd.code == "denied"
    assert visible(odd) == visible(even) == visible(steal(club, "rex", "status", club.odd))


def test_its_channels_are_real(club):
    """Somebody who may see all of it does see the difference; else the test above would prove nothing."""
    for s in sorted({club.odd, club.even}):
        club.collect(health.squad(s), "medical", "rita", "rita")
    club.enter("rita")
    for channel in ("status", "header", "body", "length", "error", "crash", "exit"):
        odd, even = steal(club, "rita", channel, club.odd), steal(club, "rita", channel, club.even)
        assert visible(odd) != visible(even), channel


def test_an_instance_that_read_too_much_serves_nobody_after(club):
    """A crash would end it, so a good answer has to end it as well: the next one's cold start must not tell which it was."""
    for channel in ("status", "crash", "value"):
        for s in (club.odd, club.even):
            steal(club, "rex", channel, s)
            club.get("p1", "/curious/recall")
    above, after = set(), []
    for record in club.audit(event="request", app="curious"):
        after += [record] if record["instance"] in above else []
        if record["actor"] == "rex" and record.get("path") != "/recall":
            above.add(record["instance"])
    assert above and not after


def test_memory_does_not_keep_it(club):
    steal(club, "rex", "memory", club.odd)
    for who in ("rex", "p1"):
        assert club.get(who, "/curious/recall").text == "kept: \n"


def test_memory_that_is_kept_keeps_its_label(club):
    """Lifetime `user`: what a later request finds in memory is as secret as it was."""
    seen = []
    for s in (club.odd, club.even):
        assert club.get("rex", f"/kept/memory?squad=s{s}&measure=glucose").status == 403
        seen.append(visible(club.get("rex", "/kept/recall")))
    assert seen[0] == seen[1] and b"first value" not in seen[0][2]


def test_the_log_does_not_show_it(club):
    for s in (club.odd, club.even):
        steal(club, "rex", "log", s)
    assert "first value" not in club.cli("logs", "curious")


def test_what_a_certificate_lets_through(club):
    """The one channel that an officer opened, and no wider than the certificate says."""
    assert steal(club, "rex", "value", club.odd).json() == {"mean": 1, "players": 20}
    assert steal(club, "rex", "value", club.even).json() == {"mean": 0, "players": 20}
    assert steal(club, "rex", "form", club.odd).status == 403


# Evidence


def test_the_log_tells_who_saw(club):
    club.get("p1", "/records/me")
    club.get("ann", "/records/player/p1/training")
    club.get("rex", "/stats/mean?squad=s1&measure=glucose")
    assert club.cli("audit", "verify")
    rows = club.cli_json("audit", "who-saw", "p1")
    seen = [(row["who"], row["event"], row["outcome"], row.get("rule")) for row in rows]
    assert ("ann", "read", "refused", "R2") in seen
    assert ("rex", "read", "allowed", "R7") in seen and ("rex", "declassify", "allowed", "R7") in seen
    assert ("p1", "read", "allowed", "R2") in seen
