/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Linux 7.2 has otherwise than the newest kernel, which the module is
 * written for; see compat.rs.
 */
#ifndef NLCALL_COMPAT_H
#define NLCALL_COMPAT_H

#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/version.h>

struct sk_buff;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)

/* The question to seccomp, and whether its answer is a yes. */
#define NLCALL_SECCOMP __seccomp_permit_syscall
#define nlcall_says_yes(answer) (answer)

#else

/* As long as it is not bound it would say yes; nobody can ask before it is. */
#define NLCALL_SECCOMP __secure_computing
#define nlcall_says_yes(answer) ((answer) == 0)

/* compat.c, for compat.rs. */
struct sk_buff *nlcall_genlmsg_new(size_t payload, gfp_t flags);
void nlcall_genlmsg_end(struct sk_buff *skb, void *header);
void nlcall_genlmsg_cancel(struct sk_buff *skb, void *header);
void nlcall_nlmsg_free(struct sk_buff *skb);
unsigned long nlcall_spin_lock_irqsave(spinlock_t *lock);
bool nlcall_spin_trylock_irqsave(spinlock_t *lock, unsigned long *flags);
void nlcall_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags);

#endif

#endif
