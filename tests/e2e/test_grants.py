# SPDX-License-Identifier: MIT
"""Consent, its revocation and break-glass on a whole platform: what somebody may see of others follows the grants, and
ends with them, sessions and instances included, before the revocation is answered."""
import concurrent.futures
import json

import pytest

import harness
from harness import eventually

POLICY = """\
axes:
  level: {chain: [LOW, HIGH]}
  own: {owners: [training, medical]}
classes:
  player: {clearance: "level=LOW"}
  trainer: {clearance: "level=HIGH"}
  medic: {clearance: "level=HIGH", break_glass: [medical]}
  officer: {clearance: "level=LOW", officer: true}
"""
P7 = "own={p7/training}"


@pytest.fixture(scope="module")
def world(make_platform, backend, echo_image, tmp_path_factory):
    policy = tmp_path_factory.mktemp("policy") / "policy.yaml"
    policy.write_text(POLICY)
    p = make_platform(backend=backend, policy=policy)
    p.add_image("echo", echo_image)
    for lifetime in ("user", "class", "request"):
        p.add_app("e-" + lifetime, "echo", lifetime, max_instances=4)
    for name, cls in {"p7": "player", "p8": "player", "tina": "trainer", "tom": "trainer", "meg": "medic",
                      "olga": "officer"}.items():
        p.add_user(name, cls=cls)
    yield p


@pytest.fixture
def p(world):
    yield world
    for g in world.cli_json("grant", "ls"):
        if "ended" not in g:
            world.cli("grant", "rm", g["id"])
        if g.get("to_review"):
            world.cli("grant", "review", g["id"])
    assert world.cli_json("grant", "ls") == []


def door(p, session, method, target, body=None, **headers):
    fields = {k.replace("_", "-"): v for k, v in headers.items()}
    if body is not None:
        fields.setdefault("Content-Type", "application/json")
    return p.call(session, target, method, json.dumps(body) if isinstance(body, dict) else body, fields)


def consent(p, owner, to, number="g1", **fields):
    answer = door(p, owner, "PUT", f"/v1/grants/{number}", {"category": "training", "to": to, **fields})
    assert answer.status == 201, answer
    return answer.json()


def instances(p):
    """All that vmmd knows of, those that are ending included."""
    return {i["uuid"] for i in p.rest("vmmd", "GET", "/v1/instances").json()["instances"]}


def test_consent_opens_and_revocation_closes(p):
    p7, tina = p.login("p7"), p.login("tina")
    assert p.call(tina, "/e-user/", label=P7).status == 403
    consent(p, p7, "tina")
    # The session from before stays as it was; the next one has the owner's tag in its clearance.
    assert p.call(tina, "/e-user/", label=P7).status == 403
    trained = p.login("tina")
    assert "p7/training" in trained.label and "p7/medical" not in trained.label
    answer = p.call(trained, "/e-user/keep", "POST", "secret", label=P7)
    assert answer.status == 200 and f"label={P7}" in answer.text
    assert p.call(trained, "/e-user/", label="own={p7/medical}").status == 403
    assert answer.instance in instances(p)
    low = p.call(tina, "/e-user/", label="level=LOW")
    assert low.status == 200
    # When the revocation is answered, the session and what it had running are gone.
    assert door(p, p7, "DELETE", "/v1/grants/g1").status == 204
    left = instances(p)
    assert answer.instance not in left and low.instance in left
    assert p.call(trained, "/e-user/", label=P7).status == 401
    assert p.call(trained, "/e-user/").status == 401
    # The session below the new clearance lives on, and so does its instance.
    again = p.call(tina, "/e-user/", label="level=LOW")
    assert again.status == 200 and again.instance == low.instance
    assert "p7" not in p.login("tina").label
    record, = p.audit(event="revoke", path="/v1/grants/g1", actor="p7")
    assert record["rule"] == "R9" and record["status"] == 204


@pytest.mark.parametrize("app", ["e-user", "e-class", "e-request"])
def test_what_runs_at_a_revocation_ends_before_the_answer(p, app):
    p7 = p.login("p7")
    consent(p, p7, "class:trainer")
    tina = p.login("tina")
    assert p.call(tina, f"/{app}/", label=P7).status == 200

    def busy():
        routes = p.rest("proxy", "GET", "/v1/routes").json()
        return {i["uuid"] for i in routes["instances"] if i["label"] == P7 and i["state"] == "busy"}

    eventually(lambda: not busy())  # an instance that is being reset counts as busy, and works for nobody
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(p.call, tina, f"/{app}/slow?ms=20000", label=P7)
        working = eventually(busy)
        assert door(p, p7, "DELETE", "/v1/grants/g1").status == 204
        assert not instances(p) & working
        answer = slow.result()
        assert answer.status == 401 and answer.seconds < 15
    assert p.call(tina, f"/{app}/", label=P7).status == 401


def test_an_instance_of_others_is_left_alone(p):
    p7 = p.login("p7")
    consent(p, p7, "tina", "g1")
    consent(p, p7, "tom", "g2")
    tina, tom = p.login("tina"), p.login("tom")
    first, second = p.call(tina, "/e-user/", label=P7), p.call(tom, "/e-user/", label=P7)
    own = p.call(p7, "/e-user/", label=P7)
    assert first.status == second.status == own.status == 200
    assert door(p, p7, "DELETE", "/v1/grants/g1").status == 204
    left = instances(p)
    assert first.instance not in left and {second.instance, own.instance} <= left
    assert p.call(tom, "/e-user/", label=P7).instance == second.instance
    assert p.call(tina, "/e-user/", label=P7).status == 401


def test_the_end_of_a_user_ends_their_instances(p):
    p.add_user("gone", cls="trainer")
    answer = p.call(p.login("gone"), "/e-user/", label="level=LOW")
    assert answer.instance in instances(p)
    p.cli("user", "rm", "gone")
    assert answer.instance not in instances(p)


def test_a_purpose_is_stated_at_login(p):
    consent(p, p.login("p7"), "tina", purpose="training")
    assert p.call(p.login("tina"), "/e-request/", label=P7).status == 403
    assert p.call(p.login("tina", purpose="research"), "/e-request/", label=P7).status == 403
    answer = p.call(p.login("tina", purpose="training"), "/e-request/", label=P7)
    assert answer.status == 200 and "purpose=training" in answer.text


def test_the_door_passes_nothing_on_without_a_session(p):
    before = len(p.audit())
    body = {"owner": "p7", "category": "training", "to": "tina"}
    for method, target, sent in [("PUT", "/v1/grants/g1", body), ("GET", "/v1/grants", None), ("DELETE", "/v1/grants/g1", None),
                                 ("POST", "/v1/grants/g1/review", None), ("POST", "/v1/erase", {"category": "training"}),
                                 ("POST", "/v1/break-glass", {**body, "reason": "x" * 20})]:
        for fields in ({}, {"Authorization": "Basic b3BlcmF0b3I6"}, {"Authorization": "Bearer " + "A" * 43},
                       {"Authorization": "Bearer"}, {"Authorization": "Bearer x\ty"}, {"Cookie": "ppce_session="},
                       {"Authorization": "Bearer " + "A" * 500}, {"X-User": "p7", "PPCE-User": "operator"}):
            assert door(p, None, method, target, sent, **fields).status in (400, 401), (method, target, fields)
    assert p.cli_json("grant", "ls") == []
    assert all(r.get("event") not in ("grant", "revoke", "break-glass") for r in p.audit()[before:])


def test_the_door_takes_the_cookie_but_not_from_another_site(p):
    token = p.login("p7").token
    body = {"category": "training", "to": "tina"}
    cookie = {"Cookie": f"ppce_session={token}"}
    assert door(p, None, "PUT", "/v1/grants/g1", body, **cookie, Sec_Fetch_Site="cross-site").status == 403
    assert door(p, None, "PUT", "/v1/grants/g1", body, **cookie, Content_Type="text/plain").status == 400
    assert p.cli_json("grant", "ls") == []
    assert door(p, None, "PUT", "/v1/grants/g1", body, **cookie, Sec_Fetch_Site="same-origin").status == 201
    listed = door(p, None, "GET", "/v1/grants", **cookie)
    assert [g["id"] for g in listed.json()["grants"]] == ["g1"] and listed.headers["Cache-Control"] == "no-store"
    two = door(p, p.login("p8"), "DELETE", "/v1/grants/g1", **cookie)
    assert two.status == 400 and p.cli_json("grant", "ls")


def test_refusals_at_the_door(p):
    p7, p8 = p.login("p7"), p.login("p8")
    consent(p, p7, "tina")
    assert door(p, p8, "DELETE", "/v1/grants/g1").status == 404
    assert door(p, p8, "PUT", "/v1/grants/g1", {"category": "training", "to": "tina"}).status == 403
    assert door(p, p8, "PUT", "/v1/grants/g2", {"owner": "p7", "category": "training", "to": "p8"}).status == 403
    assert door(p, p8, "GET", "/v1/grants?owner=p7").json() == {"grants": []}
    assert door(p, p8, "POST", "/v1/erase", {"category": "training"}).status == 409
    answer = door(p, p8, "PATCH", "/v1/grants/g1", {})
    assert answer.status == 405 and "Allow" in answer.headers
    answer = door(p, p8, "POST", "/v1/grants", {})
    assert answer.status == 405 and answer.headers["Allow"].startswith("GET")
    bad = door(p, p8, "PUT", "/v1/grants/g2", {"category": "trainning", "to": "tina"})
    assert bad.status == 400 and "training" in bad.json()["detail"]
    assert bad.json()["request_id"] == bad.headers["PPCE-Request-Id"]
    for target in ("/v1/grants/../users", "/v1/grants/..%2fusers", "/v1/grantsx", "/v1/break-glass/", "/v1/users",
                   "/v1/grants/g1/review/x", "/v1/grants//g1", "/v1/authorisations/" + "ab" * 32, "/v1/sessions"):
        assert door(p, p8, "GET", target).status in (400, 404), target
    assert door(p, p8, "PUT", "/v1/grants/g2", "x" * 20000).status == 413
    assert [g["id"] for g in p.cli_json("grant", "ls")] == ["g1"]


def test_break_glass_and_its_review(p):
    meg, olga = p.login("meg"), p.login("olga")
    label = "own={p7/medical}"
    assert p.call(meg, "/e-user/", label=label).status == 403
    body = {"owner": "p7", "category": "medical", "reason": "unconscious on the pitch", "minutes": 5}
    assert door(p, p.login("tina"), "POST", "/v1/break-glass", body).status == 403
    answer = door(p, meg, "POST", "/v1/break-glass", body)
    assert answer.status == 201 and "log in again" in answer.json()["note"]
    number = answer.json()["id"]
    assert p.call(meg, "/e-user/", label=label).status == 403
    again = p.login("meg")
    assert p.call(again, "/e-user/", label=label).status == 200
    listing = p.cli("grant", "ls")
    assert "to review" in listing and "unconscious on the pitch" in listing
    assert door(p, again, "POST", f"/v1/grants/{number}/review").status == 403
    p.cli("grant", "rm", number)
    assert p.call(again, "/e-user/", label=label).status == 401
    assert "ended, to review" in p.cli("grant", "ls")
    done = door(p, olga, "POST", f"/v1/grants/{number}/review")
    assert done.status == 200 and done.json()["reviewer"] == "olga"
    assert p.cli_json("grant", "ls") == []


def test_the_command_line(p):
    number = p.cli("grant", "add", "p7/training", "tina", "--purpose", "Spring Camp", "--until", "30d",
                   "--reason", "signed on paper").strip()
    assert number == "p7-training-tina-spring-camp"
    g, = p.cli_json("grant", "ls", "--owner", "p7")
    assert (g["to"], g["purpose"], g["by"], g["reason"]) == ("tina", "Spring Camp", "operator", "signed on paper")
    assert p.cli_json("grant", "ls", "--to", "tom") == []
    table = p.cli("grant", "ls")
    assert number in table and "consent" in table and "lives" in table
    p.cli("grant", "add", "p7/training", "tina", "--id", "other")
    p.cli("grant", "add", "p7/training", "tina", "--id", "other")
    p.cli("grant", "add", "p7/medical", "tina", "--id", "other", code=6)
    p.cli("grant", "rm", "other")
    p.cli("grant", "rm", "other", code=3)
    p.cli("grant", "add", "p7/training", "nobody", code=3)
    for wrong in (["p7", "tina"], ["/training", "tina"], ["p7/", "tina"], ["p7/nothing", "tina"], ["p7/training"],
                  ["p7/training", "tina", "--until", "yesterday"], ["p7/training", "tina", "--until", "2001-01-01"],
                  ["p7/training", "tina", "--until", "-5d"]):
        p.cli("grant", "add", *wrong, code=2)
    number = p.cli("break-glass", "p8/medical", "--user", "meg", "--password-file", "-", "--reason", "found unconscious",
                   "--minutes", "10", input=harness.PASSWORD + "\n").strip()
    assert p.cli_json("grant", "review", number)["to_review"] is False
    p.cli("grant", "review", number, code=6)
    p.cli("break-glass", "p8/medical", "--user", "tina", "--password-file", "-", "--reason", "found unconscious", code=4,
          input=harness.PASSWORD + "\n")
    p.cli("break-glass", "p8/medical", "--user", "meg", "--password-file", "-", "--reason", "short", code=2,
          input=harness.PASSWORD + "\n")
    assert not [s for s in p.cli_json("session", "ls") if s["user"] == "tina" and s["address"] == "unix"]
