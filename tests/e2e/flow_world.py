# SPDX-License-Identifier: MIT
"""Random worlds for test_noninterference.py: a policy, its labels with their order written down a second time, users, and
two stores that are equal below one label and differ above it."""
import re
import sqlite3

HASSE = {  # elements with what is at or below each
    "diamond": ({"public": "", "ward": "public", "lab": "public", "chief": "ward lab public"},
                [("public", "ward"), ("public", "lab"), ("ward", "chief"), ("lab", "chief")]),
    "n5": ({"o": "", "a": "o", "b": "a o", "c": "o", "i": "a b c o"},
           [("o", "a"), ("a", "b"), ("b", "i"), ("o", "c"), ("c", "i")]),
    "m3": ({"o": "", "x": "o", "y": "o", "z": "o", "i": "x y z o"},
           [("o", "x"), ("o", "y"), ("o", "z"), ("x", "i"), ("y", "i"), ("z", "i")]),
}
CATEGORIES = ("training", "medical")
LOW_USERS, HIGH_USERS = ("p1", "p2"), ("p3", "p4")
OWNERS = LOW_USERS + HIGH_USERS + ("p5", "p6")
POOL = 7
GATED = ("p3", "p5", "p6")  # whose rows the certified query reads
TABLE = "CREATE TABLE facts (id INTEGER PRIMARY KEY, slot INTEGER, owner TEXT, label TEXT, value INTEGER)"
SLOT_HERE, SLOT_OWNED, SLOT_GATED = 100, 101, 102


class Axis:
    """A label's value on an axis is a frozenset of facts: a may flow to b if a's are among b's."""

    def __init__(self, rng, name, kind):
        self.name, self.kind = name, kind
        if kind == "hasse":
            down, self.covers = HASSE[rng.choice(sorted(HASSE))]
            self.down = {e: frozenset(d.split()) | {e} for e, d in down.items()}
            self.values = list(self.down)
            rng.shuffle(self.values)
        elif kind == "owners":
            self.values = [f"{o}/{c}" for o in OWNERS for c in CATEGORIES]
        else:
            self.values = [f"{name}{i}" for i in range(rng.randint(2, 4))]

    def line(self):
        names = ", ".join(CATEGORIES if self.kind == "owners" else self.values)
        if self.kind == "hasse":
            covers = ", ".join(f"[{a}, {b}]" for a, b in self.covers)
            return f"  {self.name}: {{hasse: {{elements: [{names}], covers: [{covers}]}}}}\n"
        return f"  {self.name}: {{{self.kind}: [{names}]}}\n"

    def random(self, rng):
        if self.kind == "chain":
            return frozenset(self.values[:rng.randint(1, len(self.values))])
        if self.kind == "hasse":
            return self.down[rng.choice(self.values)]
        return frozenset(v for v in self.values if rng.random() < (0.2 if self.kind == "owners" else 0.5))

    def bottom(self):
        if self.kind == "chain":
            return frozenset(self.values[:1])
        return min(self.down.values(), key=len) if self.kind == "hasse" else frozenset()

    def top(self):
        return max(self.down.values(), key=len) if self.kind == "hasse" else frozenset(self.values)

    def text(self, facts):
        if self.kind == "chain":
            return self.values[len(facts) - 1]
        if self.kind == "hasse":
            return next(e for e in self.values if self.down[e] == facts)
        return "{" + ",".join(v for v in sorted(facts)) + "}"


class World:
    def __init__(self, rng):
        self.rng = rng
        kinds = [rng.choice(("chain", "subset", "hasse")) for _ in range(rng.randint(1, 3))]
        self.axes = [Axis(rng, "abc"[i], kind) for i, kind in enumerate(kinds)]
        self.axes.insert(rng.randint(0, len(kinds)), Axis(rng, "own", "owners"))
        self.own = next(i for i, x in enumerate(self.axes) if x.kind == "owners")
        self.bottom = tuple(x.bottom() for x in self.axes)
        self.low = self.with_tags(self.random_low(), [f"{u}/{c}" for u in LOW_USERS for c in CATEGORIES])
        self.grants = [("p2", "training", "p1"), ("p5", "training", "p3"), ("p1", "medical", "p3")] + \
            [(o, c, "p4") for o in OWNERS if o != "p4" for c in CATEGORIES]
        self.clearances = {"p1": self.low, "p2": self.random_below(self.low), "p3": self.random(),
                           "p4": tuple(x.top() for x in self.axes)}
        self.clr = {u: self.with_tags(c, [f"{u}/{k}" for k in CATEGORIES] + [f"{o}/{k}" for o, k, to in self.grants if to == u])
                    for u, c in self.clearances.items()}
        self.pool = [self.bottom, self.random_below(self.low), self.random_below(self.low)]
        while len(self.pool) < POOL:
            label = self.random_below(self.clr[rng.choice(("p3", "p4"))])
            if len(self.pool) == POOL - 1 and self.leq(label, self.low):
                continue  # one at least is above
            self.pool.append(label)
        self.owned_category = rng.choice(CATEGORIES)

    # Labels

    def random(self):
        return tuple(x.random(self.rng) for x in self.axes)

    def random_low(self):
        """Not the top on the first axis that could be lower."""
        while True:
            label = self.random()
            if any(label[i] != x.top() for i, x in enumerate(self.axes) if i != self.own):
                return label

    def random_below(self, high):
        for _ in range(200):
            label = list(self.random())
            label[self.own] &= high[self.own]
            if self.leq(label, high):
                return tuple(label)
        return self.bottom

    def with_tags(self, label, tags):
        out = list(label)
        out[self.own] = frozenset(tags)
        return tuple(out)

    @staticmethod
    def leq(a, b):
        return all(x <= y for x, y in zip(a, b))

    def is_low(self, label):
        return self.leq(label, self.low)

    def text(self, label):
        return ",".join(f"{x.name}={x.text(v)}" for x, v in zip(self.axes, label))

    def parse(self, text):
        """Of the platform's canonical text."""
        label = list(self.bottom)
        for name, value in re.findall(r"(\w+)=(\{[^}]*\}|[^,]*)", text):
            i = next(i for i, x in enumerate(self.axes) if x.name == name)
            x = self.axes[i]
            if value == "ALL":
                label[i] = x.top() | {"ALL"}
            elif value.startswith("{"):
                label[i] = frozenset(v for v in value[1:-1].split(",") if v)
            else:
                label[i] = x.down[value] if x.kind == "hasse" else frozenset(x.values[:x.values.index(value) + 1])
        return tuple(label)

    def clearance_text(self, user):
        return self.text(self.with_tags(self.clearances[user], []))

    # Files

    def policy(self):
        return ("axes:\n" + "".join(x.line() for x in self.axes) +
                f"classes:\n  officer: {{clearance: \"{self.text(self.bottom)}\", officer: true}}\n")

    def queries(self):
        apps = "apps: [s-request, s-user, s-class]"
        out = ["queries:"]
        for i, label in enumerate(self.pool):
            said = f'label: "{self.text(label)}", {apps}'
            out += [f'  r{i}: {{read: "SELECT value FROM facts WHERE slot = {i} ORDER BY id", {said}}}',
                    f'  i{i}: {{write: "INSERT INTO facts (slot, owner, label, value) VALUES ({i}, \'\', $label, $1)", '
                    f'params: [int], {said}}}',
                    f'  u{i}: {{write: "UPDATE facts SET value = value + $1 WHERE slot = {i}", params: [int], {said}}}']
        by_owner = 'SELECT owner, value FROM facts WHERE slot = {} ORDER BY id", label: "own={{@owner/{}}}"'
        out += [f'  all: {{read: "SELECT owner, label, value FROM facts WHERE slot < 101 ORDER BY id", label: "@label", {apps}}}',
                f'  here: {{write: "INSERT INTO facts (slot, owner, label, value) VALUES ({SLOT_HERE}, \'\', $label, $1)", '
                f'params: [int], {apps}}}',
                f'  owned: {{read: "{by_owner.format(SLOT_OWNED, self.owned_category)}, {apps}}}',
                f'  gated: {{read: "{by_owner.format(SLOT_GATED, "medical")}, {apps}, category: aggregate}}']
        return "\n".join(out) + "\n"

    def certificate(self, digest):
        top = self.text(tuple(x.top() for x in self.axes)).replace(self.axes[self.own].text(self.axes[self.own].top()), "ALL")
        return {"name": "gate", "image": digest, "query": "gated", "from": top, "to": self.text(self.bottom),
                "max_bytes": 32, "min_group": len(GATED),
                "schema": {"type": "object", "properties": {"v": {"type": "integer", "minimum": 0, "maximum": 3}}}}

    def stores(self, paths):
        """Equal at or below .low; of the others there are any number, with any values. What goes through the gate is equal
        as well: the sum of the gated values, modulo 4."""
        rows = [[], []]
        for _ in range(16):
            slot = self.rng.choice([*range(POOL), SLOT_OWNED])
            owner = self.rng.choice(OWNERS)
            label = self.pool[slot] if slot < POOL else self.with_tags(self.bottom, [f"{owner}/{self.owned_category}"])
            same = self.rng.randrange(8)
            for side in rows:
                if self.is_low(label) or self.rng.random() < 0.7:
                    value = same if self.is_low(label) else self.rng.randrange(8)
                    side.append((slot, owner, self.text(label), value))
        for side in rows:
            values = [self.rng.randrange(8) for _ in GATED]
            values[-1] += -sum(values) % 4 + self.rng.randrange(3) * 4
            side += [(SLOT_GATED, o, "", v) for o, v in zip(GATED, values)]
        for path, side in zip(paths, rows):
            with sqlite3.connect(path) as db:
                db.execute(TABLE)
                db.executemany("INSERT INTO facts (slot, owner, label, value) VALUES (?, ?, ?, ?)", side)
            db.close()
        return rows

    # What users do

    def random_step(self):
        """("login", user, ceiling or None), ("grants", user) or ("call", user, app, label or None, script)."""
        rng, user = self.rng, self.rng.choice(LOW_USERS + HIGH_USERS)
        kind = rng.random()
        if kind < 0.08:
            return "login", user, self.random_label(self.clr[user])
        if kind < 0.12:
            return "grants", user
        return "call", user, rng.choice(("s-request", "s-user", "s-class")), self.random_label(self.clr[user])

    def random_label(self, high):
        some = [label for label in self.pool if self.leq(label, high)]
        return self.rng.choice(some) if some and self.rng.random() < 0.5 else None

    def random_script(self, may_end, gated):
        """may_end: the instance's end shows to nobody else; gated: reads what only
        the certificate opens, and then only tells."""
        rng, lines = self.rng, []
        reads = ["read all", "read all", "read owned"] + [f"read r{i}" for i in range(POOL)]
        writes = ["write here n"] + [f"write {w}{i} {v}" for w in "iu" for i in range(POOL) for v in ("n", 1)]
        tell = ["status", "header", "length", "spin", "log", "body", "fail", "who", "keep"]
        ends = ["crash", "exit"] if may_end else []
        for _ in range(rng.randint(1, 6)):
            lines.append(rng.choice(rng.choice((reads, writes, ["keep", "recall", f"skip {rng.randint(1, 3)} {rng.randint(0, 1)}"]))))
        if gated and rng.random() < 0.5:  # what leaves the gate is equal then: nothing in between or behind it takes it back
            quiet = [line for line in tell if line != "fail"]
            return "\n".join(lines + ["read gated", rng.choice(quiet), rng.choice(quiet), "release"]) + "\n"
        lines += ["read gated"] if gated else []
        for _ in range(rng.randint(0, 5)):
            lines.append(rng.choice(tell + ends + [f"skip {rng.randint(1, 2)} {rng.randint(0, 1)}"]))
        return "\n".join(lines) + "\n"
