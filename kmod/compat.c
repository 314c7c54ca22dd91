// SPDX-License-Identifier: GPL-2.0-only
/*
 * The C side of compat.rs: inline functions that Linux 7.2 has no wrappers of
 * for Rust, and proof that what is declared there is what the kernel has.
 */
#include <linux/build_bug.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <net/genetlink.h>
#include <net/netlink.h>
#include "compat.h"

/* Inline functions. */

static const union {
	struct genl_family family;
	u8 bytes[sizeof(struct genl_family)];
} nlcall_netnsok = { .family.netnsok = 1 }, nlcall_parallel_ops = { .family.parallel_ops = 1 };

struct sk_buff *nlcall_genlmsg_new(size_t payload, gfp_t flags)
{
	/* Fields of bits have no offset; what the compiler made of them is looked at. */
	BUILD_BUG_ON(nlcall_netnsok.bytes[28] != BIT(0));
	BUILD_BUG_ON(nlcall_parallel_ops.bytes[28] != BIT(1));
	return genlmsg_new(payload, flags);
}

void nlcall_genlmsg_end(struct sk_buff *skb, void *header)
{
	genlmsg_end(skb, header);
}

void nlcall_genlmsg_cancel(struct sk_buff *skb, void *header)
{
	genlmsg_cancel(skb, header);
}

void nlcall_nlmsg_free(struct sk_buff *skb)
{
	nlmsg_free(skb);
}

unsigned long nlcall_spin_lock_irqsave(spinlock_t *lock)
{
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	return flags;
}

bool nlcall_spin_trylock_irqsave(spinlock_t *lock, unsigned long *flags)
{
	return spin_trylock_irqsave(lock, *flags);
}

void nlcall_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
	spin_unlock_irqrestore(lock, flags);
}

/* Structures: compat.rs asserts the same of its own. */

#define SIZE(name, size)							\
	static_assert(sizeof(struct name) == (size))
#define FIELD(name, field, at, type)						\
	static_assert(offsetof(struct name, field) == (at) &&			\
		      __same_type(((struct name *)NULL)->field, type))

typedef int (*before_t)(const struct genl_split_ops *ops, struct sk_buff *skb,
			struct genl_info *info);
typedef void (*after_t)(const struct genl_split_ops *ops, struct sk_buff *skb,
			struct genl_info *info);
typedef int (*do_t)(struct sk_buff *skb, struct genl_info *info);
typedef int (*dump_t)(struct sk_buff *skb, struct netlink_callback *cb);
typedef int (*around_dump_t)(struct netlink_callback *cb);
typedef int (*bind_t)(int group);
typedef void (*unbind_t)(int group);
typedef void (*priv_t)(void *priv);

SIZE(genlmsghdr, 4);
FIELD(genlmsghdr, cmd, 0, u8);
FIELD(genlmsghdr, version, 1, u8);
FIELD(genlmsghdr, reserved, 2, u16);

static_assert(sizeof(possible_net_t) == 8 && offsetof(possible_net_t, net) == 0);

SIZE(genl_multicast_group, 17);
FIELD(genl_multicast_group, name, 0, char[16]);
FIELD(genl_multicast_group, flags, 16, u8);

SIZE(nla_policy, 16);
FIELD(nla_policy, type, 0, u8);
FIELD(nla_policy, validation_type, 1, u8);
FIELD(nla_policy, len, 2, u16);
FIELD(nla_policy, nested_policy, 8, const struct nla_policy *);

SIZE(genl_ops, 48);
FIELD(genl_ops, doit, 0, do_t);
FIELD(genl_ops, start, 8, around_dump_t);
FIELD(genl_ops, dumpit, 16, dump_t);
FIELD(genl_ops, done, 24, around_dump_t);
FIELD(genl_ops, policy, 32, const struct nla_policy *);
FIELD(genl_ops, maxattr, 40, unsigned int);
FIELD(genl_ops, cmd, 44, u8);
FIELD(genl_ops, internal_flags, 45, u8);
FIELD(genl_ops, flags, 46, u8);
FIELD(genl_ops, validate, 47, u8);

SIZE(genl_split_ops, 40);
FIELD(genl_split_ops, pre_doit, 0, before_t);
FIELD(genl_split_ops, doit, 8, do_t);
FIELD(genl_split_ops, post_doit, 16, after_t);
FIELD(genl_split_ops, start, 0, around_dump_t);
FIELD(genl_split_ops, dumpit, 8, dump_t);
FIELD(genl_split_ops, done, 16, around_dump_t);
FIELD(genl_split_ops, policy, 24, const struct nla_policy *);
FIELD(genl_split_ops, maxattr, 32, unsigned int);
FIELD(genl_split_ops, cmd, 36, u8);
FIELD(genl_split_ops, internal_flags, 37, u8);
FIELD(genl_split_ops, flags, 38, u8);
FIELD(genl_split_ops, validate, 39, u8);

SIZE(genl_info, 104);
FIELD(genl_info, snd_seq, 0, u32);
FIELD(genl_info, snd_portid, 4, u32);
FIELD(genl_info, family, 8, const struct genl_family *);
FIELD(genl_info, nlhdr, 16, const struct nlmsghdr *);
FIELD(genl_info, genlhdr, 24, struct genlmsghdr *);
FIELD(genl_info, attrs, 32, struct nlattr **);
FIELD(genl_info, _net, 40, possible_net_t);
FIELD(genl_info, ctx, 48, u8[48]);
FIELD(genl_info, extack, 96, struct netlink_ext_ack *);

SIZE(genl_dumpit_info, 144);
FIELD(genl_dumpit_info, op, 0, struct genl_split_ops);
FIELD(genl_dumpit_info, info, 40, struct genl_info);

SIZE(genl_family, 160);
FIELD(genl_family, hdrsize, 0, unsigned int);
FIELD(genl_family, name, 4, char[16]);
FIELD(genl_family, version, 20, unsigned int);
FIELD(genl_family, maxattr, 24, unsigned int);
/* In between a byte of bits, see nlcall_genlmsg_new(). */
FIELD(genl_family, n_ops, 29, u8);
FIELD(genl_family, n_small_ops, 30, u8);
FIELD(genl_family, n_split_ops, 31, u8);
FIELD(genl_family, n_mcgrps, 32, u8);
FIELD(genl_family, resv_start_op, 33, u8);
FIELD(genl_family, policy, 40, const struct nla_policy *);
FIELD(genl_family, pre_doit, 48, before_t);
FIELD(genl_family, post_doit, 56, after_t);
FIELD(genl_family, bind, 64, bind_t);
FIELD(genl_family, unbind, 72, unbind_t);
FIELD(genl_family, ops, 80, const struct genl_ops *);
FIELD(genl_family, small_ops, 88, const struct genl_small_ops *);
FIELD(genl_family, split_ops, 96, const struct genl_split_ops *);
FIELD(genl_family, mcgrps, 104, const struct genl_multicast_group *);
FIELD(genl_family, module, 112, struct module *);
FIELD(genl_family, sock_priv_size, 120, size_t);
FIELD(genl_family, sock_priv_init, 128, priv_t);
FIELD(genl_family, sock_priv_destroy, 136, priv_t);
FIELD(genl_family, id, 144, int);
FIELD(genl_family, mcgrp_offset, 148, unsigned int);
FIELD(genl_family, sock_privs, 152, struct xarray *);

/* Numbers. */

static_assert(GENL_CMD_CAP_DO == 2 && GENL_CMD_CAP_DUMP == 4);
static_assert(NLA_U32 == 3 && NLA_U64 == 4 && NLA_FLAG == 6 && NLA_NUL_STRING == 10 &&
	      NLA_S32 == 14);
static_assert(GENLMSG_DEFAULT_SIZE ==
	      PAGE_SIZE - ALIGN(sizeof(struct skb_shared_info), 64) - 16 - 4);

/* Functions. */

#define PROTOTYPE(function, result, ...)					\
	static_assert(__same_type(function, result (__VA_ARGS__)))

PROTOTYPE(genl_register_family, int, struct genl_family *);
PROTOTYPE(genl_unregister_family, int, const struct genl_family *);
PROTOTYPE(genlmsg_put, void *, struct sk_buff *, u32, u32, const struct genl_family *, int, u8);
PROTOTYPE(nla_reserve, struct nlattr *, struct sk_buff *, int, int);
PROTOTYPE(nla_put, int, struct sk_buff *, int, int, const void *);
PROTOTYPE(nla_put_64bit, int, struct sk_buff *, int, int, const void *, int);
