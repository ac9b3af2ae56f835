# SPDX-License-Identifier: MIT
"""The sports club of examples/health on a platform of its own, for tests and for scripts/demo: real data, the policy, the
queries, a certificate for apps/stats, and people who log in.

    with Club(directory) as club:
        club.add_people("p1", ("ann", "trainer"))
        print(club.get("p1", "/records/me").json())
"""
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys

from harness import ROOT, Platform

EXAMPLE = ROOT / "examples" / "health"
PURPOSES = {"trainer": "training", "medic": "treatment", "researcher": "research"}  # by class, stated at login


def script(name, *args):
    """Runs scripts/NAME; its standard output."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / name, *map(str, args)], capture_output=True, text=True,
                          timeout=300)
    if done.returncode:
        raise AssertionError(f"scripts/{name}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


class Club(Platform):
    def __init__(self, directory, database=None, queries=None, **options):
        """database: a data.db that scripts/import-health-data made (it is copied); None: it is imported here; anything
        else: the queries have one of their own."""
        super().__init__(directory, policy=EXAMPLE / "policy.yaml", **options)
        (self.dir / "queries.yaml").write_text(queries or (EXAMPLE / "queries.yaml").read_text())
        if isinstance(database, pathlib.Path):
            shutil.copy(database, self.dir / "state" / "data.db")
        elif database is None:
            script("import-health-data", self.dir)
        self.keyfile = self.dir / "olga.key"  # on a real platform she keeps it elsewhere
        self.cli("certificate", "keygen", "olga", "--key", self.keyfile)
        self.sessions, self.classes = {}, {}

    # Setting up

    def sign(self, image, name="squad-mean", **changes):
        """olga certifies this image; returns the certificate's id."""
        certificate = {**json.loads((EXAMPLE / "squad-mean.json").read_text()), "name": name, **changes}
        certificate["image"] = digest(self.image_file(image))
        path = self.dir / f"{name}.json"
        path.write_text(json.dumps(certificate))
        return self.cli_json("certificate", "sign", path, "--key", self.keyfile)["id"]

    def add_apps(self, *names):
        for name in names:
            self.add_image(name)
            self.add_app(name, name, "request")

    def add_people(self, *people):
        """Names of players, or (name, class) or (name, class, clearance)."""
        for entry in people:
            name, cls, clearance = (*([entry] if isinstance(entry, str) else entry), None, None)[:3]
            self.classes[name] = cls or "player"
            self.add_user(name, clearance, self.classes[name])
            self.enter(name)

    def enter(self, name):
        self.sessions[name] = self.login(name, purpose=PURPOSES.get(self.classes[name]))
        return self.sessions[name]

    # Acting

    def get(self, who, path, **kw):
        return self.call(self.sessions[who], path, **kw)

    def consent(self, who, grant, category, to, **more):
        """Through the door, with the person's own token."""
        body = json.dumps({"category": category, "to": to, **more})
        return self.call(self.sessions[who], f"/v1/grants/{grant}", method="PUT", body=body,
                         headers={"Content-Type": "application/json"})

    def revoke(self, who, grant):
        return self.call(self.sessions[who], f"/v1/grants/{grant}", method="DELETE")

    def collect(self, players, category, to, prefix):
        """Forms on paper, which the operator enters: consent of many players."""
        for player in players:
            answer = self.rest("auth", "PUT", f"/v1/grants/{prefix}-{player}",
                               {"owner": player, "category": category, "to": to})
            assert answer.status == 201, answer


def squad(number):
    """Names of its players, as scripts/import-health-data puts them."""
    return [f"p{i}" for i in range(20 * (number - 1) + 1, min(20 * number, 442) + 1)]


def imported(folder):
    """A data.db for many clubs."""
    (pathlib.Path(folder) / "state").mkdir()
    script("import-health-data", folder)
    return pathlib.Path(folder) / "state" / "data.db"


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
