/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy.h"
#include "vmmd/sinks.h"

static const char policy_text[] = "axes:\n"
				  "  level: {chain: [LOW, MID, HIGH]}\n"
				  "  comp: {subset: [A, B]}\n"
				  "classes:\n"
				  "  staff: {clearance: \"level=MID\"}\n";

static const char config_text[] =
	"network:\n"
	"  enabled: true\n"
	"  sinks:\n"
	"    low: {address: host, port: 1, label: \"level=LOW\"}\n"
	"    mid-a: {address: 192.0.2.7, port: 25, label: \"level=MID,comp={A}\"}\n"
	"    drain: {address: host, port: 3, label: \"level=HIGH,comp={A,B}\", returns: \"level=LOW\"}\n"
	"    source: {address: host, port: 4, label: \"level=LOW\", returns: \"level=HIGH\"}\n";

struct world {
	struct policy *policy;
	struct config config;
};

static int set_up(void **state)
{
	static struct world w;
	struct err err;
	w.policy = policy_parse("p.yaml", policy_text, sizeof policy_text - 1, &err);
	assert_non_null(w.policy);
	if (config_parse("c.yaml", config_text, sizeof config_text - 1, &w.config, &err) < 0)
		fail_msg("%s", err.text);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	policy_free(w->policy);
	return 0;
}

static const char *list(struct sinks_grant grant)
{
	static char text[NET_SINKS_SIZE];
	sinks_list(&grant, text);
	return text;
}

static struct sinks_grant judge(struct world *w, const char *wanted, const char *label)
{
	struct sinks_grant grant;
	struct err err;
	if (sinks_judge(w->policy, &w->config, wanted, label, &grant, &err) < 0)
		fail_msg("%s", err.text);
	return grant;
}

static void test_rules(void **state)
{
	static const struct {
		const char *label, *granted;
		struct {
			const char *name;
			enum flow_rule rule;
		} refused[3];
	} cases[] = {
		{ "level=LOW", "low,drain", { { "mid-a", FLOW_R2_READ }, { "source", FLOW_R2_READ } } },
		{ "level=MID,comp={A}", "mid-a,drain", { { "low", FLOW_R6_EGRESS }, { "source", FLOW_R6_EGRESS } } },
		{ "level=MID",
		  "drain",
		  { { "low", FLOW_R6_EGRESS }, { "mid-a", FLOW_R2_READ }, { "source", FLOW_R6_EGRESS } } },
		{ "level=HIGH,comp={A,B}",
		  "drain",
		  { { "low", FLOW_R6_EGRESS }, { "mid-a", FLOW_R6_EGRESS }, { "source", FLOW_R6_EGRESS } } },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sinks_grant g = judge(*state, "low,mid-a,drain,source", cases[i].label);
		assert_string_equal(list(g), cases[i].granted);
		unsigned n = 0;
		for (; n < 3 && cases[i].refused[n].name; n++) {
			assert_string_equal(g.refused[n].name, cases[i].refused[n].name);
			assert_int_equal(g.refused[n].verdict.rule, cases[i].refused[n].rule);
			assert_true(*g.refused[n].verdict.why != '\0');
		}
		assert_int_equal(g.nrefused, n);
		assert_int_equal(g.hears,
				 strstr(list(g), "mid-a") != NULL); /* the others say back what is for everybody */
	}
}

static void test_order_and_nothing(void **state)
{
	assert_string_equal(list(judge(*state, "drain,low", "level=LOW")), "drain,low");
	assert_string_equal(list(judge(*state, "", "level=LOW")), "");
	assert_int_equal(judge(*state, "", "level=LOW").nrefused, 0);
}

static void test_lists(void **state)
{
	static const struct {
		const char *wanted, *word;
	} bad[] = { { "lowe", "did you mean low?" },
		    { "low,low", "twice" },
		    { "low,", "commas" },
		    { ",low", "no sink ``" },
		    { "low,,drain", "no sink ``" },
		    { "a b", "network.sinks" },
		    { "lowlowlowlowlowlowlowlowlowlowlowlowlow", "no sink" },
		    { ",", "commas" } };
	struct world *w = *state;
	struct sinks_grant grant;
	struct err err;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(sinks_check(&w->config, bad[i].wanted, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		if (!strstr(err.text, bad[i].word))
			fail_msg("%s: %s", bad[i].wanted, err.text);
		assert_int_equal(sinks_judge(w->policy, &w->config, bad[i].wanted, "level=LOW", &grant, &err), -1);
		assert_int_equal(err.kind, ERR_CONFIG);
	}
	assert_int_equal(sinks_check(&w->config, "source,low,drain,mid-a", &err), 0);
	assert_int_equal(sinks_check(&w->config, "", &err), 0);
}

static void test_labels_of_another_policy(void **state)
{
	struct world *w = *state;
	struct config config = w->config;
	struct sinks_grant grant;
	struct err err;
	assert_int_equal(sinks_check_labels(w->policy, &config, &err), 0);
	strcpy(config.network.sink[2].returns, "level=NOWHERE");
	assert_int_equal(sinks_check_labels(w->policy, &config, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_non_null(strstr(err.text, "network.sinks: drain: returns: "));
	assert_int_equal(sinks_judge(w->policy, &config, "drain", "level=LOW", &grant, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_int_equal(sinks_judge(w->policy, &config, "low", "level=NOWHERE", &grant, &err), -1);
}

static void test_addresses(void **state)
{
	struct world *w = *state;
	struct control_net net = { .gateway = 0x0a4d0001 };
	sinks_describe(&w->config, "mid-a,low", &net);
	assert_int_equal(net.nsinks, 2);
	assert_string_equal(net.sink[0].name, "mid-a");
	assert_int_equal(net.sink[0].ipv4, 0xc0000207);
	assert_int_equal(net.sink[0].port, 25);
	assert_string_equal(net.sink[1].name, "low");
	assert_int_equal(net.sink[1].ipv4, 0x0a4d0001);
	assert_int_equal(net.sink[1].port, 1);
	sinks_describe(&w->config, "", &net);
	assert_int_equal(net.nsinks, 0);
}

/* As many and as long names as the configuration takes fit. */
static void test_all_of_the_longest(void **state)
{
	struct world *w = *state;
	struct config config = w->config;
	struct sinks_grant grant;
	struct control_net net = { 0 };
	struct err err;
	char wanted[NET_SINKS_SIZE] = "";
	config.network.sinks = CONFIG_SINKS_MAX;
	for (unsigned i = 0; i < CONFIG_SINKS_MAX; i++) {
		struct config_sink *s = &config.network.sink[i];
		*s = w->config.network.sink[2];
		memset(s->name, 'a' + (char)i, PPCE_NAME_SIZE - 1);
		strcat(wanted, i ? "," : "");
		strcat(wanted, s->name);
	}
	assert_int_equal(sinks_judge(w->policy, &config, wanted, "level=LOW", &grant, &err), 0);
	assert_string_equal(list(grant), wanted);
	sinks_describe(&config, wanted, &net);
	assert_int_equal(net.nsinks, PPCE_SINKS_MAX);
	assert_int_equal(sinks_judge(w->policy, &w->config, "low,mid-a,source", "level=HIGH,comp={A,B}", &grant, &err),
			 0);
	assert_int_equal(grant.nrefused, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),	  cmocka_unit_test(test_order_and_nothing),
		cmocka_unit_test(test_lists),	  cmocka_unit_test(test_labels_of_another_policy),
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_all_of_the_longest),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
