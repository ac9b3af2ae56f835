# SPDX-License-Identifier: MIT
"""Mode `discard`: a new tender for every request, which ends right after its one answer."""


def test_an_answer_is_never_lost_to_the_end_of_its_instance(platform):
    """vmmd's word that the instance ended may overtake the answer on the channel; the answer must win."""
    platform.add_image("hello")
    platform.add_app("once", "hello", "request", mode="discard")
    platform.add_user("ann", "level=NATO_SECRET")
    session, client = platform.login("ann"), platform.client()
    seen = set()
    for _ in range(150):
        answer = platform.call(session, "/once/", client=client)
        assert answer.status == 200, answer
        assert answer.instance not in seen
        seen.add(answer.instance)
