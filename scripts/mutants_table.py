# SPDX-License-Identifier: MIT
"""The seeded faults of scripts/mutants: what is wrong, in which file, the text and what it becomes, and the tests that must
notice. A test is a unit-test program below tests/ or a pytest node; the text must stand in its file exactly once."""
from collections import namedtuple

Mutant = namedtuple("Mutant", "name file old new tests")


def unit(name):
    return ("unit", name)


def py(node, *bins):
    """A pytest node and the programs of bin/ that it runs."""
    return ("pytest", node, bins)


LATTICE, HASSE, OWNERS = unit("policy/test-policy-lattice"), unit("policy/test-policy-hasse"), unit("policy/test-policy-owners")
SHADOW, FLOW, AUTOMATON = unit("policy/test-policy-flow-shadow"), unit("policy/test-policy-flow"), unit("policy/test-policy-automaton")
CERTIFICATE, VALUE = unit("policy/test-policy-certificate"), unit("policy/test-policy-value")
MONITOR, ROWS, TWO_RUNS = unit("store/test_store_monitor"), unit("store/test_store_rows"), unit("store/test_store_two_runs")
RELEASE, TAINT, REVOKE = unit("proxy/test-proxy-release"), unit("proxy/test-proxy-taint"), unit("proxy/test-proxy-revoke")
ANSWER, HOLD = unit("proxy/test-proxy-answer"), unit("proxy/test-proxy-hold")
MERKLE, RECORD = unit("audit/test-audit-merkle"), unit("audit/test-audit-record")
SINKS = unit("vmmd/test_vmmd_sinks")
ALL_BINS = ("ppce", "ppce-audit", "ppce-store", "ppce-auth", "ppce-vmmd", "ppce-proxy", "ppce-tender")


def proxy(node):
    return py("tests/proxy/test_proxy_" + node, "ppce", "ppce-audit", "ppce-auth", "ppce-proxy")


def store(node):
    return py("tests/store/test_store_" + node, "ppce-store", "ppce")


def audit(node):
    return py("tests/audit/test_audit_" + node, "ppce-audit", "ppce")


def auth(node):
    return py("tests/auth/test_auth_" + node, "ppce-auth", "ppce")


def vmmd(node):
    return py("tests/vmmd/test_vmmd_" + node, "ppce-vmmd", "ppce-net")


def e2e(node):
    return py("tests/e2e/test_" + node, *ALL_BINS)


def curious(channel):
    return e2e(f"records.py::test_the_curious_app_gets_nothing_out[process-{channel}]")


MUTANTS = [
    # policy: the lattice
    Mutant("a join forgets the last axis", "policy/label.c",
           "\tfor (size_t i = 0; i < p->naxes; i++)\n\t\taxis_ops(&p->axes[i])->join(",
           "\tfor (size_t i = 0; i < p->naxes - (p->naxes > 1); i++)\n\t\taxis_ops(&p->axes[i])->join(", [LATTICE]),
    Mutant("<= looks at the first axis only", "policy/label.c",
           "\tfor (size_t i = 0; i < p->naxes; i++)\n\t\tif (!axis_ops(&p->axes[i])->leq(",
           "\tfor (size_t i = 0; i < 1; i++)\n\t\tif (!axis_ops(&p->axes[i])->leq(", [LATTICE]),
    Mutant("chain: <= is turned round", "policy/axis.c", "return a->axis[x->at] <= b->axis[x->at];",
           "return a->axis[x->at] >= b->axis[x->at];", [LATTICE]),
    Mutant("chain: the join is the lower one", "policy/axis.c", "(chain_leq(x, a, b) ? b : a)->axis[x->at]",
           "(chain_leq(x, a, b) ? a : a)->axis[x->at]", [LATTICE]),
    Mutant("subset: <= is turned round", "policy/axis.c", "(a->axis[x->at] & ~b->axis[x->at]) == 0",
           "(b->axis[x->at] & ~a->axis[x->at]) == 0", [LATTICE]),
    Mutant("subset: the join intersects", "policy/axis.c", "a->axis[x->at] | b->axis[x->at]",
           "a->axis[x->at] & b->axis[x->at]", [LATTICE]),
    Mutant("hasse: any upper bound is a join", "policy/hasse.c", "\t*out = (uint8_t)least;", "\t*out = (uint8_t)last;", [HASSE]),
    Mutant("hasse: <= by numbers", "policy/hasse.c", "low <= high && x->join[low * x->size + high] == high", "low <= high",
           [HASSE]),
    Mutant("owners: a join drops tags", "policy/owners.c", "\twhile (merge_next(&m, &t) != END) {\n\t\tif (!append(out, t)) {",
           "\tfor (enum side side; (side = merge_next(&m, &t)) != END;) {\n\t\tif (side != RIGHT && !append(out, t)) {", [OWNERS]),
    Mutant("owners: a union too large loses what does not fit", "policy/owners.c",
           "\t\tif (!append(out, t)) {\n\t\t\tset_all(x, out);\n\t\t\treturn;", "\t\tif (!append(out, t)) {\n\t\t\treturn;", [OWNERS]),
    Mutant("owners: ALL is not above a set", "policy/owners.c", "\tif (is_all(x, b))\n\t\treturn true;",
           "\tif (is_all(x, b))\n\t\treturn is_all(x, a);", [OWNERS]),
    Mutant("owners: ALL is below a set", "policy/owners.c", "if (is_all(x, a) || a->tags_len > b->tags_len)",
           "if (!is_all(x, a) && a->tags_len > b->tags_len)", [OWNERS]),

    # policy: the rules
    Mutant("R0: the clearance is not looked at", "policy/flow.c",
           '"the session\'s ceiling", ceiling, "the user\'s clearance", clearance', '"", ceiling, "", ceiling', [SHADOW]),
    Mutant("R1: a request may lie above the session's ceiling", "policy/flow.c",
           '"the request", r, "the session\'s ceiling", ceiling', '"", r, "", r', [SHADOW]),
    Mutant("R2: a floating instance reads above its ceiling", "policy/flow.c",
           '"the data", data, "the instance\'s ceiling", ceiling', '"", data, "", data', [SHADOW]),
    Mutant("R2: a fixed instance reads above its label", "policy/flow.c",
           '"the data", data, "the fixed instance", instance', '"", data, "", data', [SHADOW]),
    Mutant("R2: a read does not raise", "policy/flow.c", "label_join(p, instance, data, &raised);", ";", [SHADOW]),
    Mutant("R3: write-down", "policy/flow.c", '"the instance", instance, "what it writes", data', '"", data, "", data', [SHADOW]),
    Mutant("R4: the session's ceiling is not looked at", "policy/flow.c",
           '"the instance", instance, "the session\'s ceiling", ceiling', '"", instance, "", instance', [SHADOW]),
    Mutant("R4: the clearance of today is not looked at", "policy/flow.c",
           '"the instance", instance, "the user\'s clearance", clearance', '"", instance, "", instance', [SHADOW]),
    Mutant("R8: another user's instance will do", "policy/flow.c", "if (*owner && strcmp(owner, user) != 0)",
           "if (*owner && !*user)", [FLOW]),
    Mutant("R9: turned round", "policy/flow.c", '"the label", l, "the new clearance", clearance',
           '"", clearance, "", l', [SHADOW]),
    Mutant("R7: any image", "policy/release.c", "if (strcmp(use->image, c->image) != 0)", "if (!use->image)", [CERTIFICATE]),
    Mutant("R7: an expired certificate", "policy/release.c", "if (c->expires && use->now >= c->expires)",
           "if (c->expires && use->now < 0)", [CERTIFICATE]),
    Mutant("R7: other queries as well", "policy/release.c", "if (!use->only_query)", "if (!use->image)", [CERTIFICATE]),
    Mutant("R7: any group", "policy/release.c", "if (use->group < c->min_group)", "if (use->group < 1)", [CERTIFICATE]),
    Mutant("R7: from anywhere", "policy/release.c", "if (!label_leq(p, use->instance, &c->from))", "if (!use->image)", [CERTIFICATE]),
    Mutant("R7: to above the session", "policy/release.c", "if (!label_leq(p, &c->to, use->ceiling))", "if (!use->image)",
           [CERTIFICATE]),
    Mutant("R7: owners are not asked", "policy/release.c", "if (!owners_agree(p, c, use))",
           "if (!owners_agree(p, c, use) && !use->image)", [CERTIFICATE]),
    Mutant("certificate: any signature", "policy/certificate.c", "\tif (!valid)\n", "\tif (!valid && !text)\n", [CERTIFICATE]),
    Mutant("certificate: `to` above `from`", "policy/certificate.c", "if (!label_leq(p, &out->to, &out->from))",
           "if (!out->to.axis[0] && out->to.axis[0])", [CERTIFICATE]),
    Mutant("value: any form", "policy/release.c", "if (schema_match(c->schema, value, err) < 0) {",
           "if (schema_match(c->schema, value, err) < -1) {", [VALUE]),
    Mutant("value: any size", "policy/release.c", "if (len > c->max_bytes)", "if (len > CERTIFICATE_BYTES_MAX)", [VALUE]),
    Mutant("automaton: the purpose is no guard", "policy/automaton.c", "if (*t->purpose && strcmp(t->purpose, use->purpose) != 0)",
           "if (*t->purpose && !*use->purpose)", [AUTOMATON]),
    Mutant("automaton: the group is no guard", "policy/automaton.c", "return use->group >= t->min;", "return true;", [AUTOMATON]),

    # tickets
    Mutant("ticket: half of the MAC is compared", "lib/ticket.c",
           "ticket_mac(t, key, mac);\n\treturn sodium_memcmp(mac, t->mac, sizeof mac) == 0;",
           "ticket_mac(t, key, mac);\n\treturn sodium_memcmp(mac, t->mac, sizeof mac / 2) == 0;", [RELEASE]),
    Mutant("ticket: the ceiling is not under the MAC", "lib/ticket.c", "offsetof(struct ticket, mac)",
           "offsetof(struct ticket, ceiling)", [RELEASE]),
    Mutant("release: half of the MAC is compared", "lib/ticket.c",
           "release_mac(r, value, key, mac);\n\treturn sodium_memcmp(mac, r->mac, sizeof mac) == 0;",
           "release_mac(r, value, key, mac);\n\treturn sodium_memcmp(mac, r->mac, sizeof mac / 2) == 0;", [RELEASE]),
    Mutant("release: the value is not under the MAC", "lib/ticket.c", "offsetof(struct release, mac), value, r->length",
           "offsetof(struct release, mac), value, 0", [RELEASE]),
    Mutant("ticket: no expiry", "store/monitor.c", "if (t->expires <= now_ms)", "if (t->expires <= now_ms && !t->seq)", [MONITOR]),
    Mutant("ticket: of any instance", "store/monitor.c", "strcmp(t->instance, m->uuid) != 0 || ", "", [MONITOR]),
    Mutant("ticket: of any app", "store/monitor.c", " || strcmp(t->app, m->app) != 0", "", [MONITOR]),
    Mutant("ticket: replay", "store/monitor.c", "if (t->seq < m->seq || t->seq == 0)", "if (t->seq == 0)", [MONITOR]),
    Mutant("ticket: another one of the same number", "store/monitor.c",
           "if (t->seq == m->seq && m->mac_known && memcmp(m->mac, t->mac, sizeof m->mac) != 0)",
           "if (t->seq == m->seq && !m->mac_known && memcmp(m->mac, t->mac, sizeof m->mac) == 0)", [MONITOR]),

    # store: the monitor
    Mutant("every ticket makes pristine", "store/monitor.c", "if (t->seq > m->seq && (t->flags & TICKET_PRISTINE)) {",
           "if (t->seq > m->seq) {", [MONITOR]),
    Mutant("the flag pristine is not looked at", "store/monitor.c", "if (t->seq > m->seq && (t->flags & TICKET_PRISTINE)) {",
           "if (t->seq > m->seq && (t->flags & ~TICKET_PRISTINE) > TICKET_FIXED) {", [MONITOR]),
    Mutant("the label goes down with the next ticket", "store/monitor.c", "label_join(m->policy, &m->label, &r, &m->label);",
           "m->label = r;", [MONITOR]),
    Mutant("the same ticket once more makes pristine", "store/monitor.c", "if (t->seq > m->seq && (t->flags & TICKET_PRISTINE)) {",
           "if (t->flags & TICKET_PRISTINE) {", [MONITOR]),
    Mutant("the monitor does not rise", "store/monitor.c", "label_join(m->policy, &m->label, data, &m->label);", ";", [MONITOR]),
    Mutant("R7: a second query is overlooked", "store/monitor.c", "else if (!label_leq(m->policy, &s->label, to))",
           "else if (!s->query[0])", [MONITOR]),
    Mutant("R7: two groups are one", "store/monitor.c", "s->group = 0; /* two groups", "s->group = group; /* two groups", [MONITOR]),
    Mutant("a restarted store has forgotten what was read", "store/monitor.c",
           "m->sources_unknown = m->uses_unknown = slot->seq > 0;", "m->sources_unknown = m->uses_unknown = false;", [MONITOR]),

    # store: reads and writes
    Mutant("rows: each row's own label is ignored", "store/rows.c", "label_parse(r->rules.policy, key, &g.label, NULL) < 0",
           "label_parse(r->rules.policy, key, &(struct label){ 0 }, NULL) < 0", [ROWS]),
    Mutant("rows: those above the ceiling are not left out", "store/rows.c", "if (!may_read(&r->rules, &g.label))",
           "if (!may_read(&r->rules, &g.label) && !r->rules.policy)", [ROWS]),
    Mutant("rows: what an automaton denies goes out", "store/rows.c",
           "if (!r->group[r->row[i].group].denied && r->row[i].end > from)", "if (r->row[i].end > from)", [ROWS]),
    Mutant("rows: only those that came raise", "store/rows.c", "\tlabel_join(rules->policy, out, &bound, out);\n", "", [TWO_RUNS]),
    Mutant("R2 is not asked", "store/monitor.c",
           "return flow_read(m->policy, m->mode, &m->label, &m->ceiling, data, &after);",
           "return flow_read(m->policy, m->mode, data, data, data, &after);", [MONITOR]),
    Mutant("the check comes before the taint of the ticket", "store/call.c",
           "\tif (instance_publish(i, &err) < 0)\n\t\tcall_fail(c, &err, \"taint\");\n\telse\n\t\tdispatch(c);",
           "\t(void)err;\n\tdispatch(c);", [store("labels.py::test_what_the_request_brings_is_in_the_slot_before_anything_is_decided[sqlite]")]),
    Mutant("the slot is not published", "store/read.c", "\treturn instance_publish(c->instance, err);", "\t(void)err;\n\treturn 0;",
           [store("labels.py::test_floating_instance_rises_to_what_it_reads_and_no_further_than_its_ceiling[sqlite]")]),
    Mutant("bytes before the record", "store/read.c", "\tcall_record(c, call_finish);\n}\n\n/* An automaton",
           "\tcall_finish(c);\n}\n\n/* An automaton",
           [store("barrier.py::test_no_byte_before_the_label_is_raised_and_the_record_acknowledged")]),
    Mutant("a log that does not work stops nothing", "store/call.c",
           "\t\tc->status = STORE_UNAVAILABLE;\n\t} else if (c->owners_at", "\t} else if (c->owners_at",
           [store("barrier.py::test_without_the_audit_log_nothing_is_handed_over")]),
    Mutant("a write before its record", "store/write.c", "\t\tcall_record(c, run_write);", "\t\tcall_run(c, on_write);",
           [store("barrier.py::test_a_write_is_recorded_before_it_happens")]),
    Mutant("R3 is not asked", "store/write.c", "\tif (!v.allowed) {\n\t\tcall_refuse(c, STORE_DENIED, flow_rule_name(v.rule)",
           "\tif (!v.allowed && v.rule != FLOW_R3_WRITE) {\n\t\tcall_refuse(c, STORE_DENIED, flow_rule_name(v.rule)",
           [store("labels.py::test_writes_go_up_never_down[sqlite]")]),
    Mutant("what a write answers does not raise", "store/write.c", "\tmonitor_join(m, &c->label);\n", "",
           [store("labels.py::test_the_answer_of_a_write_is_a_read_of_what_is_there[sqlite]")]),
    Mutant("a fixed instance learns how a write above it went", "store/write.c",
           "c->blind = m->mode == FLOW_FIXED && !label_leq(c->store->policy, &c->label, &m->label);", "c->blind = false;",
           [store("labels.py::test_the_answer_of_a_write_is_a_read_of_what_is_there[sqlite]")]),
    Mutant("any query of queries.yaml", "store/call.c", " || !instance_may(c->instance, c->view.name)) {\n\t\tc->query = NULL;",
           ") {\n\t\tc->query = NULL;", [store("labels.py::test_unknown_queries_and_apps[sqlite]")]),
    Mutant("any app", "store/call.c", "!query_app_may(c->query, c->instance->monitor.app) || ", "",
           [store("labels.py::test_unknown_queries_and_apps[sqlite]")]),
    Mutant("R7: owners' authorisations are not looked up", "store/declassify.c",
           "return !strcmp(id, r->certificate->id) && authorised_has(&r->authorised, tag);", "return r && tag && id;",
           [store("uses.py::test_an_authorisation_that_was_withdrawn_meanwhile")]),
    Mutant("R7: read for all owners, who agreed or not", "store/permit.c", " && !authorised_has(&permit->authorised, &tag))", " && !tag.owner[0])",
           [store("uses.py::test_only_rows_of_owners_who_agreed")]),
    Mutant("R7: the budget is not debited", "store/declassify.c", "return k->epsilon ? state_debit(", "return k->epsilon > UINT32_MAX ? state_debit(",
           [store("uses.py::test_noise_is_paid_for_first_and_only_once_per_value")]),
    Mutant("R7: released before the record", "store/declassify.c", "\tc->rule = \"R7\";\n\tc->status = STORE_OK;\n\tcall_record(c, call_finish);",
           "\tc->rule = \"R7\";\n\tc->status = STORE_OK;\n\tcall_finish(c);", [store("uses.py::test_nothing_is_released_before_its_record")]),

    # proxy
    Mutant("R4 is skipped", "proxy/request.c", "flow_respond(r->proxy->policy, &label, ceiling, ceiling);",
           "flow_respond(r->proxy->policy, ceiling, ceiling, ceiling);", [curious("body")]),
    Mutant("a blocked answer tells a header field of the app's", "proxy/request.c",
           "\tif (!v.allowed)\n\t\treturn refuse_flow(r, &v, \"answer-not-allowed\");",
           "\tif (!v.allowed) {\n\t\trefuse_flow(r, &v, \"answer-not-allowed\");\n\t\tif (r->response.nfields > 1)\n"
           "\t\t\tsnprintf(r->refusal.detail, 64, \"%s\", r->response.fields[1].name);\n\t\treturn STEP_REFUSE;\n\t}",
           [curious("header")]),
    Mutant("a blocked answer tells the app's status", "proxy/request.c",
           "\tif (!v.allowed)\n\t\treturn refuse_flow(r, &v, \"answer-not-allowed\");",
           "\tif (!v.allowed && r->response.status == 404)\n\t\treturn refuse(r, ERR_NOT_FOUND, \"no-app\", \"\");\n"
           "\tif (!v.allowed)\n\t\treturn refuse_flow(r, &v, \"answer-not-allowed\");", [curious("status")]),
    Mutant("a tainted instance's failure is told as what it is", "proxy/answer.c", "\tr->secret = !v->allowed;\n\treturn r->secret;",
           "\tr->secret = !v->allowed;\n\treturn false;", [ANSWER, curious("crash")]),
    Mutant("what has read too much lives on", "proxy/answer.c", "if (r->secret && r->backend)",
           "if (r->secret && r->backend && !r->proxy)", [e2e("records.py::test_an_instance_that_read_too_much_serves_nobody_after[process]")]),
    Mutant("a blocked answer leaves when it is ready", "proxy/hold.c", "if (!r->secret || grid == 0)", "if (done || grid == 0)",
           [HOLD]),
    Mutant("a release of any request", "proxy/response.c", "if (strcmp(head->request_id, request_id) != 0)",
           "if (!*request_id)", [RELEASE]),
    Mutant("a release's MAC is not checked", "proxy/response.c", "if (!release_authentic(head, value, key))",
           "if (!release_authentic(head, value, key) && !value)", [RELEASE]),
    Mutant("a release's label is not looked at", "proxy/answer.c", "return label_parse(r->proxy->policy, head.label, out, err);",
           "label_bottom(r->proxy->policy, out);\n\treturn 0;", [ANSWER]),
    Mutant("an app's bytes besides the released value", "proxy/response.c",
           "*r = (struct response){ .status = 200, .nfields = 1, .body = value, .body_len = head->length };\n\tr->fields[0] = json;",
           "r->body = value;\n\tr->body_len = head->length;\n\t(void)json;", [RELEASE]),
    Mutant("the slot of another instance will do", "proxy/taint.c", "if (strcmp(value.uuid, q->uuid) != 0)", "if (!value.uuid[0])",
           [TAINT]),
    Mutant("a slot of an earlier request counts as pristine", "proxy/taint.c", "if (q->pristine && value.seq < q->seq) {",
           "if (value.seq < q->seq) {", [TAINT]),
    Mutant("a ticket of the future goes unnoticed", "proxy/taint.c", "if (value.seq > q->seq)", "if (value.seq > q->seq && !q->uuid[0])",
           [TAINT]),
    Mutant("a tainted instance is not re-filed", "proxy/backend.c", "if (label_equal(b->proxy->policy, &now, &i->level))",
           "if (label_equal(b->proxy->policy, &i->level, &i->level))",
           [e2e("noninterference.py::test_what_an_instance_has_read_moves_it[process]")]),
    Mutant("instances of a class float", "proxy/ticket.c", "(app_fixed(app) ? TICKET_FIXED : 0)",
           "(app->has_sinks ? TICKET_FIXED : 0)",
           [e2e("noninterference.py::test_shared_instances_do_not_rise[process]")]),
    Mutant("instances of a user count as pristine", "proxy/ticket.c", "app->lifetime == LIFETIME_REQUEST",
           "app->lifetime != LIFETIME_CLASS", [e2e("noninterference.py::test_what_is_kept_in_memory_spoils_a_release[process]")]),
    Mutant("what may send to others floats", "proxy/route.h", "app->lifetime == LIFETIME_CLASS || app->has_sinks",
           "app->lifetime == LIFETIME_CLASS", [proxy("tap.py::test_sinks_fix_the_label")]),
    Mutant("a release by HTTP is an answer like any other", "proxy/answer.c", "r->response.release &= r->backend != NULL;",
           "r->response.release = false;", [ANSWER]),
    Mutant("ready before the end passes for ready", "proxy/channel.c", "c->state == CHANNEL_RESETTING ? NULL :",
           "c->state != CHANNEL_IDLE ? NULL :", [unit("proxy/test-proxy-channel")]),
    Mutant("connections outlive their instance", "lib/http_client_pool.c", "\t\tk->forgotten = true;\n\t\tif (k->idle_until)",
           "\t\tif (k->forgotten)", [proxy("tap.py::test_a_connection_does_not_outlive_its_instance")]),
    Mutant("instances of a user are anybody's", "proxy/request.c",
           "r->app->lifetime == LIFETIME_USER ? r->session->user : \"\";", "r->app->lifetime == LIFETIME_USER ? \"p1\" : \"\";",
           [e2e("main_job.py::test_user_instances_belong_to_one_user[process]")]),
    Mutant("R9: acknowledged before the instances end", "proxy/revoke.c", "\tif (r->n > 0)\n\t\treturn;\n", "", [REVOKE]),
    Mutant("R9: instances with a floor below it live on", "proxy/revoke.c",
           "if (backend_label(table_entry(i, const struct backend, instance), &now, &err) < 0)\n\t\treturn false;",
           "(void)err;\n\tnow = i->level;", [REVOKE]),

    # vmmd
    Mutant("R6: a sink below the instance is granted", "vmmd/sinks.c", "flow_egress(p, instance, &to)", "flow_egress(p, &to, &to)", [SINKS]),
    Mutant("R2: a sink whose answers are above the instance is granted", "vmmd/sinks.c",
           "flow_read(p, FLOW_FIXED, instance, instance, &back, &after)", "flow_read(p, FLOW_FIXED, &back, instance, &back, &after)", [SINKS]),
    Mutant("a tap that comes too late is kept", "vmmd/network.c", "\t\tsock_close(&fd);\n\t\tgive_back(n, q->uuid);\n",
           "\t\tsock_close(&fd);\n", [vmmd("network.py::test_an_instance_that_is_stopped_while_it_waits")]),
    Mutant("instances outlive ppce-net", "vmmd/network.c", "\t\tinstance_stop(i, \"ppce-net is gone, and the instance's tap with it\");\n",
           "", [vmmd("network.py::test_ppce_net_dies")]),

    # auth
    Mutant("a grant for another purpose counts", "auth/clearance.c", "if (*g->purpose && a->purpose && strcmp(g->purpose, a->purpose))",
           "if (*g->purpose && a->purpose && !*a->purpose)", [auth("grants.py::test_a_purpose_narrows_a_grant")]),
    Mutant("tags of the user record count", "auth/clearance.c", "\tlabel_drop_tags(p, sum, &with);\n", "\twith = *sum;\n",
           [auth("grants.py::test_owners_in_a_clearance_come_from_grants_only")]),
    Mutant("too many grants are ALL", "auth/clearance.c",
           "\ta->rc = err_set(a->err, ERR_DENIED, \"more tags", "\tlabel_top(a->policy, a->sum);\n\treturn 0;\n\ta->rc = err_set(a->err, ERR_DENIED, \"more tags",
           [auth("grants.py::test_too_many_tags_are_refused_and_never_become_all")]),
    Mutant("a revocation tells nobody", "auth/revoke.c", "while (r->next < r->n && r->under_way < AT_ONCE)",
           "while (r->next > r->n && r->under_way < AT_ONCE)", [auth("grants.py::test_revocation_is_answered_after_the_proxies")]),

    # audit
    Mutant("merkle: a leaf without its prefix", "lib/merkle.c", "\tcrypto_hash_sha256_update(&state, &prefix, 1);\n",
           "\t(void)prefix;\n", [MERKLE]),
    Mutant("merkle: a proof of another place", "lib/merkle.c", "if ((fn & 1) || fn == sn) {", "if (fn == sn) {", [MERKLE]),
    Mutant("proof: another size than the checkpoint's", "lib/audit_proof.c", "if (at.size != p.size)", "if (at.size > p.size + (1u << 30))",
           [audit("log.py::test_proofs")]),
    Mutant("audit: acknowledged though not written", "audit/commit.c", "\t\telse\n\t\t\te->status = AUDIT_STOPPED;",
           "\t\telse\n\t\t\te->status = AUDIT_WRITTEN;", [audit("crash.py::test_a_file_that_cannot_grow")]),
    Mutant("audit: a record of unknown members", "lib/audit_record.c", "\t\tif (!known(key))\n", "\t\tif (!known(key) && !*key)\n", [RECORD]),
    Mutant("who-saw leaves out what was refused", "cli/audit.c", "\tif (!owners || !concerns(owners, w->owner) ||",
           "\tif (!owners || !json_is_true(json_object_get(record, \"allowed\")) || !concerns(owners, w->owner) ||",
           [py("tests/cli/test_offline.py::test_who_saw", "ppce")]),
]
