/* SPDX-License-Identifier: MIT
 *
 * What the worker does next. In this order: what a question waits for, taps that were given back, filling the pool up,
 * and last the removal of surplus taps, in batches. */
#ifndef NET_PLAN_H
#define NET_PLAN_H

struct net;
struct job;
struct tap;

void plan_start(struct net *n);
void plan_next(struct net *n); /* call after anything changed; does nothing while the worker is busy */
void plan_done(struct net *n, struct job *job);
void plan_soon(struct net *n);		      /* a little later, so that what was just asked for is answered first */
void plan_doom(struct net *n, struct tap *t); /* to be removed with others */
void plan_end(struct net *n);

#endif
