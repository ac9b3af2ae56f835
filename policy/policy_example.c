/* SPDX-License-Identifier: MIT
 *
 * The policy that `ppce init` writes. A test parses it. */
#include "policy/policy.h"

/* clang-format off */
static const char example[] =
	"# PPCE, the policy: which labels exist, and what each class of users may see.\n"
	"#\n"
	"# A label says how sensitive data is. It has one value per axis below and is written axis=value, with commas\n"
	"# between and braces around sets: level=NATO_SECRET,comp={A,B}. An axis that is left out has its lowest value.\n"
	"# Data at label x may flow to label y if x is at or below y on every axis.\n"
	"#\n"
	"# Names are a letter, then up to 31 letters, digits or _. Case counts. `ppce config check` reads this file.\n"
	"\n"
	"# The axes, 1 to 8. Four kinds:\n"
	"#   chain   levels in order, lowest first; a label has exactly one. 1 to 256 levels.\n"
	"#   subset  compartments; a label has any set of them, {} is lowest. 1 to 64 members.\n"
	"#   hasse   any other order, drawn by who is directly below whom; a label has exactly one element. There must be\n"
	"#           one lowest element, and for every two elements exactly one lowest that is above both:\n"
	"#             dept: {hasse: {elements: [public, ward, lab, chief],\n"
	"#                            covers: [[public, ward], [public, lab], [ward, chief], [lab, chief]]}}\n"
	"#   owners  whose data, and of which category; a label has any set of tags owner/category, or ALL:\n"
	"#           own={p7/training,p8/medical}. The list names the categories. At most one axis is of this kind.\n"
	"#           Users always see their own data; what they may see of others, grants say (`ppce grant`).\n"
	"# The order of the axes is the order in label texts. Instances keep the label they were started at, so change\n"
	"# axes only while the platform is stopped, and then check the clearance of every user.\n"
	"axes:\n"
	"  level: {chain: [UNCLASSIFIED, NATO_RESTRICTED, NATO_CONFIDENTIAL, NATO_SECRET, COSMIC_TOP_SECRET]}\n"
	"  comp:  {subset: [A, B, C]}\n"
	"  own:   {owners: [training, medical]}\n"
	"\n"
	"# Classes of users. `clearance` is the highest label that a user of the class may have a session at; it is what\n"
	"# `ppce user add NAME --class CLASS` gives when no --clearance is named. Names may also contain -.\n"
	"#   break_glass: [CATEGORY, ...]  data of these categories may be opened in an emergency, whoever owns it: for a\n"
	"#                                 short time, with a reason; the owner is told and an officer reviews it\n"
	"#   officer: true                 reviews emergencies and signs certificates of declassification\n"
	"classes:\n"
	"  guest:      {clearance: \"level=UNCLASSIFIED\"}\n"
	"  player:     {clearance: \"level=NATO_RESTRICTED\"}\n"
	"  trainer:    {clearance: \"level=NATO_SECRET,comp={A}\"}\n"
	"  researcher: {clearance: \"level=NATO_RESTRICTED\"}\n"
	"  medic:      {clearance: \"level=NATO_SECRET,comp={B}\", break_glass: [medical, training]}\n"
	"  officer:    {clearance: \"level=NATO_SECRET\", officer: true}\n"
	"  chief:      {clearance: \"level=COSMIC_TOP_SECRET,comp={A,B,C}\"}\n";
/* clang-format on */

const char *policy_example(void)
{
	return example;
}
