# SPDX-License-Identifier: MIT
"""An app with two classic bugs: what it leaks when users share an instance, and that it leaks nothing when they do not."""
import pytest

from harness import plain

LABEL = "level=NATO_SECRET,comp={A}"
MINE = "ann has a torn ligament and will be out for six months"


@pytest.fixture(scope="module")
def world(platform):
    platform.add_image("leaky")
    for lifetime in ("class", "user", "request"):
        platform.add_app("leaky-" + lifetime, "leaky", lifetime)
    platform.add_app("leaky-discard", "leaky", "request", mode="discard")
    platform.sessions = {}
    for name in ("ann", "bob"):  # of one class: the label alone does not keep them apart
        platform.add_user(name, cls="trainer")
        platform.sessions[name] = platform.login(name)
        assert plain(platform.sessions[name].label) == LABEL
    return platform


def call(world, user, path, body=None):
    answer = world.call(world.sessions[user], path, method="POST" if body else "GET", body=body)
    assert answer.status == 200, answer
    return answer.text


def over_read(world, app):
    """ann sends much, then bob sends one byte and asks for more back."""
    call(world, "ann", f"/{app}/echo", MINE)
    return call(world, "bob", f"/{app}/echo?len=54", "b")


def wrong_cache(world, app):
    assert "Tax return of ann" in call(world, "ann", f"/{app}/return")
    return call(world, "bob", f"/{app}/return")


def test_both_bugs_are_real(world):
    """Without this the tests below would pass for an app that has no bug."""
    assert MINE[1:] in over_read(world, "leaky-class")
    assert "Tax return of ann" in wrong_cache(world, "leaky-class")


@pytest.mark.parametrize("app", ["leaky-user", "leaky-request", "leaky-discard"])
def test_nothing_leaks_between_instances(world, app):
    for _ in range(5):
        read = over_read(world, app)
        assert read.startswith("b") and set(read[1:]) == {"\0"}
        assert "Tax return of bob" in wrong_cache(world, app)


def test_a_user_alone_still_has_what_is_theirs(world):
    """Lifetime `user` keeps memory from request to request: the bug then shows ann only what was ann's."""
    call(world, "ann", "/leaky-user/echo", MINE)
    assert MINE[1:] in call(world, "ann", "/leaky-user/echo?len=54", "a")
    assert MINE[1:] not in call(world, "bob", "/leaky-user/echo?len=54", "b")
