# SPDX-License-Identifier: MIT
"""Images: adding, replacing, refusing, removing."""
import hashlib
import os
import pathlib
import threading

import pytest

from vmmd_daemon import GONE, Proxy, app_file


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def test_an_image_is_copied_booted_and_listed(vmmd):
    image = vmmd.get("/v1/images/hello")
    assert image["digest"] == digest(app_file("hello")) and image["state"] == "ready"
    assert image["manifest_name"] == "hello" and image["memory_mib"] == 4 and image["boot_us"] > 0
    assert image["bytes"] == os.path.getsize(app_file("hello"))
    assert image in vmmd.images()
    stored = vmmd.path(f"images/{image['digest']}.elf")
    assert digest(stored) == image["digest"] and os.stat(stored).st_mode & 0o777 == 0o400


def test_the_same_content_again_changes_nothing(vmmd):
    before, boots = vmmd.get("/v1/images/hello"), vmmd.metric("ppce_vmmd_boot_us_count")
    assert vmmd.add_image("hello", status=200) == before
    assert vmmd.metric("ppce_vmmd_boot_us_count") == boots


def test_default_label(vmmd):
    assert vmmd.add_image("labelled", app_file("hello"), label="comp={B,A}, level=MID".replace(" ", ""))["label"] == \
        "level=MID,comp={A,B}"
    vmmd.add_app("labelled", "labelled", "class")
    assert vmmd.start_instance("labelled")["label"] == "level=MID,comp={A,B}"
    assert vmmd.add_image("labelled", app_file("hello"), label="level=HIGH", status=200)["label"] == "level=HIGH"
    assert vmmd.start_instance("labelled")["label"] == "level=HIGH"
    answer = vmmd.rest("POST", "/v1/images", {"name": "x", "path": app_file("hello"), "label": "level=HIHG"})
    assert answer.status == 400 and "HIGH" in answer.json()["detail"]


def test_removing(vmmd):
    vmmd.add_image("twin", app_file("hello"))
    vmmd.add_image("other", app_file("leaky"))
    vmmd.add_app("other", "other")
    answer = vmmd.rest("DELETE", "/v1/images/other")
    assert (answer.status, answer.code) == (409, "conflict") and "app other" in answer.json()["detail"]
    assert vmmd.rest("DELETE", "/v1/apps/other").status == 204
    assert vmmd.rest("DELETE", "/v1/images/other").status == 204
    assert digest(app_file("leaky")) + ".elf" not in vmmd.files()
    assert vmmd.rest("DELETE", "/v1/images/twin").status == 204
    assert digest(app_file("hello")) + ".elf" in vmmd.files(), "hello still has this content"
    for method in ("GET", "DELETE"):
        assert vmmd.rest(method, "/v1/images/twin").status == 404


def test_replacing_stops_the_old_instances(vmmd):
    vmmd.add_image("app", app_file("hello"))
    vmmd.add_app("replaced", "app", "class")
    with Proxy(vmmd) as proxy:
        old = proxy.start("replaced")
        assert "Hello" in old.channel.call(label="x").text
        assert vmmd.add_image("app", app_file("leaky"), status=200)["digest"] == digest(app_file("leaky"))
        assert "replaced" in proxy.expect(GONE, uuid=old.uuid).reason
        assert "try POST" in proxy.start("replaced").channel.call().text
    assert vmmd.rest("DELETE", "/v1/apps/replaced").status == 204


def refuse(vmmd, path, *words, name="bad"):
    images, files = vmmd.images(), vmmd.files()
    answer = vmmd.rest("POST", "/v1/images", {"name": name, "path": str(path)})
    assert (answer.status, answer.code) == (400, "invalid"), answer
    for word in words:
        assert word in answer.json()["detail"], answer
    assert vmmd.images() == images and vmmd.files() == files
    return answer.json()["detail"]


def test_files_that_are_no_images(vmmd, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("#!/bin/sh\necho hello\n" * 50)
    (tmp_path / "zeros").write_bytes(bytes(8192))
    os.mkfifo(tmp_path / "fifo")
    refuse(vmmd, tmp_path / "empty", "empty")
    refuse(vmmd, tmp_path / "text", "ELF")
    refuse(vmmd, tmp_path / "zeros", "ELF")
    refuse(vmmd, tmp_path / "fifo", "regular file")
    refuse(vmmd, tmp_path, "regular file")
    refuse(vmmd, tmp_path / "missing", "No such file")
    refuse(vmmd, "/bin/true")


def test_truncated_images(vmmd, tmp_path):
    whole = pathlib.Path(app_file("hello")).read_bytes()
    lengths = [1, 3, 4, 16, 63, 64, 65, 120, 200, 400, 1000, 4095, 4096, 4097, 8192, 20000, 65536]
    for length in lengths + [len(whole) // 4, len(whole) // 2]:
        path = tmp_path / "cut"
        path.write_bytes(whole[:length])
        assert refuse(vmmd, path)
    vmmd.wait_shells(2)
    assert len(vmmd.tenders()) >= 2


@pytest.mark.parametrize("define,word", [("INIT_FAILS", ""), ("INIT_EXITS", "exit"), ("INIT_CRASHES", "")])
def test_images_that_do_not_boot(vmmd, build_guest, define, word):
    failures = vmmd.metric("ppce_vmmd_boot_failures_total")
    refuse(vmmd, build_guest(define), "did not boot", word)
    assert vmmd.metric("ppce_vmmd_boot_failures_total") == failures + 1


def test_an_image_that_never_gets_ready(make_vmmd, build_guest):
    vmmd = make_vmmd(boot_ms=300)
    refuse(vmmd, build_guest("INIT_HANGS"), "did not boot")
    vmmd.wait_shells(2)


def test_a_bad_replacement_leaves_the_old_image_in_place(vmmd, tmp_path):
    before = vmmd.get("/v1/images/hello")
    (tmp_path / "bad").write_bytes(pathlib.Path(app_file("hello")).read_bytes()[:5000])
    refuse(vmmd, tmp_path / "bad", name="hello")
    assert vmmd.get("/v1/images/hello") == before


@pytest.mark.parametrize("body", [
    "", "{", "[]", "null", '{"name": "x"}', '{"path": "/bin/true"}', {"name": 1, "path": "/x"},
    {"name": "Upper", "path": "/x"}, {"name": "a" * 33, "path": "/x"}, {"name": "", "path": "/x"},
    {"name": "v1", "path": "/x"}, {"name": "x", "path": "relative"}, {"name": "x", "path": ""},
    {"name": "x", "path": "/" + "y" * 5000}, {"name": "x", "path": "/x", "lable": "level=LOW"},
    {"name": "x", "path": "/x", "label": 3}, {"name": "x", "path": "/x", "label": "level"},
    {"name": "../x", "path": "/x"},
])
def test_bad_bodies(vmmd, body):
    images = vmmd.images()
    answer = vmmd.rest("POST", "/v1/images", body)
    assert answer.status == 400 and answer.code == "invalid"
    assert vmmd.images() == images


def test_one_name_added_twice_at_the_same_time(vmmd):
    answers = []

    def add():
        answers.append(vmmd.rest("POST", "/v1/images", {"name": "race", "path": app_file("leaky")}).status)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers.count(201) == 1 and set(answers) <= {200, 201, 409}, answers
    assert [i["name"] for i in vmmd.images()].count("race") == 1
