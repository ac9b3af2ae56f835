/* SPDX-License-Identifier: MIT
 *
 * The parts of ppce.yaml's section `network` that are not single values; for lib/config.c. */
#ifndef LIB_CONFIG_NETWORK_H
#define LIB_CONFIG_NETWORK_H

#include "lib/config.h"
#include "lib/yaml.h"

bool config_link_valid(const char *name); /* of a network interface we make: [a-z][a-z0-9-]{0,14} */
/* `sinks` may be NULL (absent) or an empty scalar. c->network.subnet is set already. */
int config_sinks(struct config *c, const struct yaml_value *sinks, struct err *err);

#endif
